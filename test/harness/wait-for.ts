import { setTimeout as pause } from 'node:timers/promises'

const POLL_MS = 25
const MAX_POLL_MS = 500

/**
 * The first truthy value of `probe`, asked again and again, after a pause as long as the last probe took. Rejects after `timeoutMs` and says what it waited for; what
 * the last probe threw is the cause.
 */
export async function waitFor<T>(
  probe: () => T | Promise<T>,
  description: string,
  timeoutMs = 45_000
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + timeoutMs
  let cause: unknown
  for (;;) {
    const startMs = performance.now()
    try {
      const value = await probe()
      if (value) return value as Exclude<T, undefined | null | false>
      cause = undefined
    } catch (err) {
      cause = err
    }
    const endMs = performance.now()
    if (endMs > deadline) throw new Error(`waited ${timeoutMs} ms for ${description}`, { cause })
    // A probe that is a command would otherwise use up a processor, which whoever is waited for may need.
    await pause(Math.max(POLL_MS, Math.min(endMs - startMs, MAX_POLL_MS)))
  }
}

/** Settles as `promise` does, or rejects after `timeoutMs` and says what it waited for. */
export async function settled<T>(promise: Promise<T>, description: string, timeoutMs = 45_000): Promise<T> {
  const expired = Promise.withResolvers<never>()
  const timer = setTimeout(() => expired.reject(new Error(`waited ${timeoutMs} ms for ${description}`)), timeoutMs)
  try {
    return await Promise.race([promise, expired.promise])
  } finally {
    clearTimeout(timer)
  }
}
