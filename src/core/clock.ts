/**
 * The two clocks of a host, as a collaborator, so that a test or a simulation can control time.
 *
 * Wall time is for data that other hosts read (certificates, heads); monotonic time is for measuring how long ago
 * something happened here, and never steps.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, by this host's clock. May step. */
  readonly wallMs: () => number
  /** Milliseconds since an arbitrary start. Never decreases. */
  readonly monotonicMs: () => number
}

const NANOSECONDS_PER_MS = 1_000_000n

/** The monotonic clock that all processes of a host share, in milliseconds. */
export function hostMonotonicMs(): number {
  return Number(process.hrtime.bigint() / NANOSECONDS_PER_MS)
}

/** The clocks of the operating system. */
export const systemClock: Clock = Object.freeze({
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now()
})
