/** Accepts each number once, of numbers that arrive roughly in order: those of pooled fast-path connections. */
export class ReplayGuard {
  readonly #window: number
  readonly #seen = new Set<number>()
  #highest = 0

  /** A number that is `window` or more below the highest one counts as seen. */
  constructor(window: number) {
    this.#window = window
  }

  isNew(number: number): boolean {
    return number > this.#highest - this.#window && !this.#seen.has(number)
  }

  see(number: number): void {
    this.#seen.add(number)
    if (number <= this.#highest) return
    this.#highest = number
    for (const seen of this.#seen) if (seen <= number - this.#window) this.#seen.delete(seen)
  }
}
