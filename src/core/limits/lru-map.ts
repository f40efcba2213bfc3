/**
 * A map of at most `max` entries: beyond that the least recently used one is removed.
 *
 * Use it for entries with keys that others choose, so that they cannot grow it without a limit.
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

  /** Returns the value of a key. Does not count as a use. */
  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** Adds a value as the most recently used one. Returns the key that was removed for it, if any. */
  set(key: K, value: V): K | undefined {
    // It is removed and added again, so that the first entry of the map is the least recently used one.
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#max) return undefined
    const oldest = this.#entries.keys().next()
    if (oldest.done === true) return undefined
    this.#entries.delete(oldest.value)
    return oldest.value
  }

  /** Returns the value of a key; makes and stores it if there is none. */
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

  /** Least recently used first. */
  keys(): IterableIterator<K> {
    return this.#entries.keys()
  }

  /** Least recently used first. */
  values(): IterableIterator<V> {
    return this.#entries.values()
  }

  /** Least recently used first. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#entries[Symbol.iterator]()
  }
}
