import type { Clock } from './clock.ts'

/** Clocks of hosts may differ by this much; a smaller step back is no alarm. */
export const CLOCK_SKEW_MS = 30_000
/** A step forward that is taken back within this time was a mistake, and is forgotten. */
const CONFIRM_STEP_MS = 600_000

/** A wall time, and the monotonic time at which it was read: a line on which time advances. */
interface Line {
  readonly wallMs: number
  readonly monotonicMs: number
}

/**
 * Wall time that never goes back, for the dates of rules, tokens and certificates: what has ended stays ended.
 *
 * While the host's clock is behind, time advances by the monotonic clock. A step forward counts at once, but can be taken
 * back for ten minutes, down to where time would be without it. Afterwards only `accept` takes time back.
 */
export class MonotoneClock implements Clock {
  readonly monotonicMs: () => number
  readonly #hostMs: () => number
  /** The latest time. */
  #high: Line
  /** The latest time without a step forward that is not confirmed yet. */
  #confirmed: Line
  #steppedAtMs: number | undefined

  /** `highWaterMarkMs`: the latest time that an earlier run has seen. */
  constructor(clock: Clock, highWaterMarkMs?: number) {
    this.#hostMs = clock.wallMs
    this.monotonicMs = clock.monotonicMs
    const monotonicMs = clock.monotonicMs()
    this.#confirmed = { wallMs: highWaterMarkMs ?? clock.wallMs(), monotonicMs }
    this.#high = this.#confirmed
    this.#follow()
  }

  readonly wallMs = (): number => this.#follow()

  /** How far the host's clock is behind this one, in milliseconds; zero within the accepted skew. */
  get behindMs(): number {
    const behindMs = this.#follow() - this.#hostMs()
    return behindMs > CLOCK_SKEW_MS ? Math.round(behindMs) : 0
  }

  /** Takes the time of the host's clock as it is, also if that is back. */
  accept(): void {
    this.#high = { wallMs: this.#hostMs(), monotonicMs: this.monotonicMs() }
    this.#confirmed = this.#high
    this.#steppedAtMs = undefined
  }

  #follow(): number {
    const monotonicMs = this.monotonicMs()
    const host: Line = { wallMs: this.#hostMs(), monotonicMs }
    const confirmedMs = at(this.#confirmed, monotonicMs)
    if (this.#steppedAtMs !== undefined && monotonicMs - this.#steppedAtMs >= CONFIRM_STEP_MS) {
      this.#confirmed = this.#high
      this.#steppedAtMs = undefined
    } else if (this.#steppedAtMs !== undefined && host.wallMs < at(this.#high, monotonicMs) - CLOCK_SKEW_MS) {
      // Taken back: to the host's time, but never to before the confirmed one.
      this.#high = host.wallMs > confirmedMs ? host : this.#confirmed
      if (host.wallMs <= confirmedMs + CLOCK_SKEW_MS) this.#steppedAtMs = undefined
    }
    if (host.wallMs > at(this.#high, monotonicMs)) {
      this.#high = host
      if (host.wallMs <= at(this.#confirmed, monotonicMs) + CLOCK_SKEW_MS) this.#confirmed = host
      else this.#steppedAtMs ??= monotonicMs
    }
    return Math.floor(at(this.#high, monotonicMs))
  }
}

function at({ wallMs, monotonicMs }: Line, nowMonotonicMs: number): number {
  return wallMs + (nowMonotonicMs - monotonicMs)
}
