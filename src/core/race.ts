/**
 * Starts the attempts one after another, `staggerMs` apart or as soon as the one before has failed, and resolves with
 * the first that succeeds. The others are aborted, and `discard` receives their late results. Rejects with the last
 * failure.
 */
export async function raceStaggered<T>(
  attempts: readonly ((signal: AbortSignal) => Promise<T>)[],
  staggerMs: number,
  signal: AbortSignal,
  discard: (value: T) => void
): Promise<T> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let next = 0
  let running = 0
  let over = false
  let lastError: unknown = new Error('nothing to try')

  const start = (): void => {
    clearTimeout(timer)
    const attempt = attempts[next]
    next += 1
    if (attempt === undefined) {
      if (running === 0) reject(lastError)
      return
    }
    running += 1
    attempt(controller.signal).then(
      value => {
        if (over) discard(value)
        over = true
        resolve(value)
      },
      (err: unknown) => {
        running -= 1
        lastError = err
        if (!over) start()
      }
    )
    if (next < attempts.length) timer = setTimeout(start, staggerMs)
  }
  const onAbort = (): void => {
    over = true
    reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  start()
  try {
    return await promise
  } finally {
    over = true
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    controller.abort()
  }
}

/** Resolves with the first that succeeds; rejects with one of the failures when none does. */
export async function firstOf<T>(promises: readonly Promise<T>[]): Promise<T> {
  try {
    return await Promise.any(promises)
  } catch (err) {
    throw err instanceof AggregateError ? err.errors[0] : err
  }
}
