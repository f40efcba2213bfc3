/** How many datagrams a registration may send and receive in a second, in bursts of up to as many. */
export class Meter {
  readonly perSecond: number
  readonly #nowMs: () => number
  #left: number
  #atMs: number

  constructor(perSecond: number, nowMs: () => number) {
    this.perSecond = perSecond
    this.#nowMs = nowMs
    this.#left = perSecond
    this.#atMs = nowMs()
  }

  /** Uses one; false if there is none. */
  take(): boolean {
    // The clock is asked only once the burst is used up.
    if (this.#left < 1) {
      const now = this.#nowMs()
      this.#left = Math.min(this.perSecond, this.#left + ((now - this.#atMs) / 1_000) * this.perSecond)
      this.#atMs = now
      if (this.#left < 1) return false
    }
    this.#left -= 1
    return true
  }
}
