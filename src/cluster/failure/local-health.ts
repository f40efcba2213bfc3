const MAX_SCORE = 8

/**
 * How much this host should suspect itself before it suspects others: after Lifeguard, https://arxiv.org/abs/1707.00788.
 *
 * Each sign that the fault is here (no member answers, or this process stood still) makes it wait longer for answers; each
 * answer in time reduces the wait again.
 */
export class LocalHealth {
  #score = 0

  /** Multiply time-outs by this factor: 1…9. */
  get factor(): number {
    return 1 + this.#score
  }

  worse(): void {
    this.#score = Math.min(MAX_SCORE, this.#score + 1)
  }

  better(): void {
    this.#score = Math.max(0, this.#score - 1)
  }
}
