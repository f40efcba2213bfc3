const MAX_SCORE = 8

/**
 * How much this host should doubt itself before it doubts others: after Lifeguard, https://arxiv.org/abs/1707.00788.
 *
 * Each sign that the fault is here (nobody answers, or this process stood still) makes it wait longer for answers; each
 * answer in time takes that back.
 */
export class LocalHealth {
  #score = 0

  /** What time-outs are to be multiplied with: 1…9. */
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
