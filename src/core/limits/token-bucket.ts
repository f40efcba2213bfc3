import { LruMap } from './lru-map.ts'

export interface Rate {
  /** What may be used at once. */
  readonly burst: number
  /** What comes back. */
  readonly perSecond: number
}

/** Lets `burst` be used at once and `perSecond` in the long run. Pure: the monotonic time is an argument. */
export class TokenBucket {
  readonly #rate: Rate
  #left: number
  #atMs: number

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#atMs = nowMs
  }

  /** What is left. */
  left(nowMs: number): number {
    const { burst, perSecond } = this.#rate
    // A clock that went back gives nothing, and takes nothing.
    const passedMs = Math.max(0, nowMs - this.#atMs)
    this.#left = Math.min(burst, this.#left + (passedMs / 1_000) * perSecond)
    this.#atMs = nowMs
    return this.#left
  }

  /** Uses one, if there is one. */
  take(nowMs: number): boolean {
    if (this.left(nowMs) < 1) return false
    this.#left -= 1
    return true
  }

  /** The same for a path that is hot: the clock is read only when what was left is used up. */
  takeLazily(nowMs: () => number): boolean {
    if (this.#left < 1) return this.take(nowMs())
    this.#left -= 1
    return true
  }

  /** Uses `amount`, whatever is left: that may become negative, which is paid off first. */
  use(amount: number, nowMs: number): void {
    this.#left = this.left(nowMs) - amount
  }
}

export interface KeyedRate extends Rate {
  /** Keys remembered; beyond that the one unused for longest starts anew. */
  readonly maxKeys: number
}

/** One token bucket for each key: what one of them uses costs the others nothing. */
export class TokenBuckets<Key> {
  readonly #rate: Rate
  readonly #buckets: LruMap<Key, TokenBucket>

  constructor(rate: KeyedRate) {
    this.#rate = rate
    this.#buckets = new LruMap(rate.maxKeys)
  }

  /** What is left for a key. */
  left(key: Key, nowMs: number): number {
    return this.#buckets.get(key)?.left(nowMs) ?? this.#rate.burst
  }

  /** Uses one of `key`, if there is one. */
  take(key: Key, nowMs: number): boolean {
    return this.#of(key, nowMs).take(nowMs)
  }

  /** Uses `amount` of `key`, whatever is left. */
  use(key: Key, amount: number, nowMs: number): void {
    this.#of(key, nowMs).use(amount, nowMs)
  }

  #of(key: Key, nowMs: number): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, nowMs)
    this.#buckets.set(key, bucket)
    return bucket
  }
}
