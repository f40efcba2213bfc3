/**
 * How late this process runs, by how late its own ticks come: a stalled event loop, or a machine that is short of
 * processors. Pure: the time is an argument.
 */
export class Lag {
  readonly #intervalMs: number
  #lastMs: number | undefined
  #ms = 0

  /** @param intervalMs what should lie between two ticks, at most 1.25 times which is no lag */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs * 1.25
  }

  /** The worst delay of the recent ticks, in milliseconds; halves with every tick that is in time. */
  get ms(): number {
    return this.#ms
  }

  tick(nowMs: number): void {
    const late = this.#lastMs === undefined ? 0 : Math.max(0, nowMs - this.#lastMs - this.#intervalMs)
    this.#lastMs = nowMs
    this.#ms = Math.max(late, this.#ms / 2)
  }
}
