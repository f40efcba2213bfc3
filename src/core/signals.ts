const ONCE: AddEventListenerOptions = Object.freeze({ once: true })

/**
 * Runs `fn` under a deadline that also follows every parent signal, and unlinks them when it settles.
 *
 * The signal given to `fn` aborts with a `TimeoutError` after `ms` milliseconds, or with a parent's reason. `fn` must
 * honour it: `within` waits for `fn` to settle. Used in place of `AbortSignal.any`, which retains memory for each call
 * for as long as its longest-lived parent lives. With a ShortSignal as `controller` it costs a fourth.
 */
export async function within<T>(
  ms: number,
  parents: ReadonlyArray<AbortSignal | undefined>,
  fn: (signal: AbortSignal) => Promise<T>,
  controller: Pick<AbortController, 'abort' | 'signal'> = new AbortController()
): Promise<T> {
  function onAbort(this: AbortSignal): void {
    controller.abort(this.reason)
  }
  const timer = setTimeout(() => {
    controller.abort(new DOMException(`no result within ${ms} ms`, 'TimeoutError'))
  }, ms)
  for (const parent of parents) {
    if (parent?.aborted === true) controller.abort(parent.reason)
    else parent?.addEventListener('abort', onAbort, ONCE)
  }
  try {
    return await fn(controller.signal)
  } finally {
    clearTimeout(timer)
    for (const parent of parents) parent?.removeEventListener('abort', onAbort)
  }
}

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as it aborts.
 *
 * Use it for operations that accept no signal: the operation itself is not cancelled, so the caller must release its
 * late result.
 */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const settled = Promise.withResolvers<T>()
  const onAbort = (): void => settled.reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, ONCE)
  promise.then(
    value => {
      signal.removeEventListener('abort', onAbort)
      settled.resolve(value)
    },
    // The handler stays after the abort: an unhandled rejection ends the process.
    (err: unknown) => {
      signal.removeEventListener('abort', onAbort)
      settled.reject(err)
    }
  )
  return settled.promise
}

/** Resolves after `ms` milliseconds, or rejects with the signal's reason; leaves neither timer nor listener behind. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const done = Promise.withResolvers<void>()
  const timer = setTimeout(done.resolve, ms)
  try {
    await raceAbort(done.promise, signal)
  } finally {
    clearTimeout(timer)
  }
}
