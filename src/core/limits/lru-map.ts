/**
 * A map of at most `max` entries: of too many, the one that was set or touched longest ago is removed.
 *
 * For whatever is kept by a key that others choose, so that they cannot grow it without end.
 */
export class LruMap<K, V> {
  readonly #max: number
  readonly #entries = new Map<K, V>()

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#entries.size
  }

  has(key: K): boolean {
    return this.#entries.has(key)
  }

  /** The value of a key, which does not count as a use of it. */
  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** Puts a value in as the one used last. Answers the key that had to go for it, if one had. */
  set(key: K, value: V): K | undefined {
    // Taken out and put back, so that the first entry of the map is the one unused for longest.
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#max) return undefined
    const oldest = this.#entries.keys().next()
    if (oldest.done === true) return undefined
    this.#entries.delete(oldest.value)
    return oldest.value
  }

  /** The value of a key; made and kept if there is none. */
  getOrMake(key: K, make: () => V): V {
    const found = this.#entries.get(key)
    if (found !== undefined) return found
    const made = make()
    this.set(key, made)
    return made
  }

  delete(key: K): boolean {
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** Longest unused first. */
  keys(): IterableIterator<K> {
    return this.#entries.keys()
  }

  /** Longest unused first. */
  values(): IterableIterator<V> {
    return this.#entries.values()
  }

  /** Longest unused first. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#entries[Symbol.iterator]()
  }
}
