export interface RateLimitOptions {
  /** Lines let through in one window. @default 5 */
  readonly burst?: number
  /** Length of the window, in milliseconds. @default 10_000 */
  readonly windowMs?: number
}

/**
 * Lets a few lines through in each window and counts the rest, so that a thousand refused clients cannot flood a
 * terminal or a log.
 *
 * `now` is monotonic milliseconds. The first line of the next window says how many were left out.
 */
export class RateLimitedLines {
  readonly #burst: number
  readonly #windowMs: number
  readonly #write: (line: string) => void
  #windowStart = Number.NEGATIVE_INFINITY
  #shown = 0
  #dropped = 0

  constructor(write: (line: string) => void, options: RateLimitOptions = {}) {
    this.#write = write
    this.#burst = options.burst ?? 5
    this.#windowMs = options.windowMs ?? 10_000
  }

  line(text: string, now: number): void {
    if (now - this.#windowStart >= this.#windowMs) {
      this.#windowStart = now
      this.#shown = 0
      if (this.#dropped > 0) this.#write(`${this.#dropped} more of these were not shown`)
      this.#dropped = 0
    }
    if (this.#shown < this.#burst) {
      this.#shown += 1
      this.#write(text)
    } else {
      this.#dropped += 1
    }
  }
}
