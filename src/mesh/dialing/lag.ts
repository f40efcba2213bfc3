/**
 * How late this process runs, measured by the delay of its own ticks: the event loop stalls, or the machine lacks
 * processor time. Pure: the time is an argument.
 */
export class Lag {
  readonly #intervalMs: number
  #lastMs: number | undefined
  #ms = 0

  /** @param intervalMs the intended time between two ticks; up to 1.25 times this is no lag */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs * 1.25
  }

  /** The worst delay of the recent ticks, in milliseconds; halves with every tick that is in time. */
  get ms(): number {
    return this.#ms
  }

  /** There is a longer pause before the next tick. */
  rest(): void {
    this.#lastMs = undefined
  }

  tick(nowMs: number): void {
    const late = this.#lastMs === undefined ? 0 : Math.max(0, nowMs - this.#lastMs - this.#intervalMs)
    this.#lastMs = nowMs
    this.#ms = Math.max(late, this.#ms / 2)
  }
}
