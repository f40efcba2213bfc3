/** Distance below the highest counter within which a counter may still arrive. */
export const REPLAY_WINDOW = 2_048

const WORDS = REPLAY_WINDOW / 32

/** Accepts each counter once. Call it only for authentic packets: others must not move it. */
export class ReplayWindow {
  readonly #seen = new Uint32Array(WORDS)
  #highest = -1

  /** Returns false if `counter` was accepted before, or is too old to know. */
  accept(counter: number): boolean {
    if (counter > this.#highest) this.#advance(counter)
    else if (this.#highest - counter >= REPLAY_WINDOW) return false
    const bit = counter % REPLAY_WINDOW
    const word = bit >>> 5
    const mask = 1 << (bit & 31)
    const seen = this.#seen[word] ?? 0
    if ((seen & mask) !== 0) return false
    this.#seen[word] = seen | mask
    return true
  }

  #advance(counter: number): void {
    if (counter - this.#highest >= REPLAY_WINDOW) {
      this.#seen.fill(0)
    } else {
      for (let next = this.#highest + 1; next <= counter; next += 1) {
        const bit = next % REPLAY_WINDOW
        const word = bit >>> 5
        this.#seen[word] = (this.#seen[word] ?? 0) & ~(1 << (bit & 31))
      }
    }
    this.#highest = counter
  }
}
