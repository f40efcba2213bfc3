export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** Lets `burst` things happen at once and `perSecond` in the long run. Pure: the time is an argument. */
export class TokenBucket {
  readonly #rate: Rate
  #tokens: number
  #atMs: number

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#atMs = nowMs
  }

  /** Takes one token, if there is one. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) / 1_000) * this.#rate.perSecond
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + earned)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

/** One bucket for each key; keeps at most `max` of them and forgets the one unused for longest. */
export class TokenBuckets<Key> {
  readonly #rate: Rate
  readonly #max: number
  readonly #buckets = new Map<Key, TokenBucket>()

  constructor(rate: Rate, max: number) {
    this.#rate = rate
    this.#max = max
  }

  take(key: Key, nowMs: number): boolean {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, nowMs)
    // Taken out and put back, so that the first key of the map is the one unused for longest.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#max) {
      const oldest = this.#buckets.keys().next()
      if (oldest.done !== true) this.#buckets.delete(oldest.value)
    }
    return bucket.take(nowMs)
  }
}
