/** Counts the items that each key holds, up to a maximum for one key and one for all. */
export class Quota<K> {
  readonly #perKey: number
  readonly #total: number
  readonly #held = new Map<K, number>()
  #all = 0

  constructor(perKey: number, total: number) {
    this.#perKey = perKey
    this.#total = total
  }

  /**
   * Takes one item for `key` and returns a function that gives it back (once; more calls do nothing), or undefined at
   * the maximum.
   */
  take(key: K): (() => void) | undefined {
    const held = this.#held.get(key) ?? 0
    if (held >= this.#perKey || this.#all >= this.#total) return undefined
    this.#held.set(key, held + 1)
    this.#all += 1
    let taken = true
    return () => {
      if (!taken) return
      taken = false
      this.#all -= 1
      const left = (this.#held.get(key) ?? 1) - 1
      if (left === 0) this.#held.delete(key)
      else this.#held.set(key, left)
    }
  }

  /** Number of items held in all. */
  get size(): number {
    return this.#all
  }
}
