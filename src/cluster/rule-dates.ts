import { type Bundle, nextChangeMs } from '../policy/index.ts'

// setTimeout takes 32 bits of milliseconds; a later date is reached in steps.
const MAX_TIMER_MS = 24 * 3_600_000

/** Wakes up when a rule of a policy begins or ends to apply. */
export class RuleDates {
  readonly #onDate: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(onDate: () => void) {
    this.#onDate = onDate
  }

  /** Waits for the next date of `bundle` after `nowMs`, in place of the one before. */
  follow(bundle: Bundle | undefined, nowMs: number): void {
    this.stop()
    const next = nextChangeMs(bundle, nowMs)
    if (next === undefined) return
    this.#timer = setTimeout(this.#onDate, Math.min(next - nowMs, MAX_TIMER_MS))
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
