/** Remembers what was computed for the most recent keys, at most `size` of them. */
export class Memo<Key, Value> {
  readonly #size: number
  readonly #values = new Map<Key, Value>()

  constructor(size: number) {
    this.#size = size
  }

  get(key: Key): Value | undefined {
    return this.#values.get(key)
  }

  /** Keeps `value` in place of the oldest, and returns it. */
  put(key: Key, value: Value): Value {
    this.#values.set(key, value)
    if (this.#values.size > this.#size) {
      const oldest = this.#values.keys().next()
      if (oldest.done !== true) this.#values.delete(oldest.value)
    }
    return value
  }
}
