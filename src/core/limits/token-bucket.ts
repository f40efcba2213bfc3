import { LruMap } from './lru-map.ts'

export interface Rate {
  /** Tokens that may be used at once. */
  readonly burst: number
  /** Tokens that are added per second. */
  readonly perSecond: number
}

/** Allows `burst` at once and `perSecond` in the long run. Pure: the monotonic time is an argument. */
export class TokenBucket {
  readonly #rate: Rate
  #left: number
  #atMs: number

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#atMs = nowMs
  }

  /** Tokens that are left. */
  left(nowMs: number): number {
    const { burst, perSecond } = this.#rate
    // A clock that went back adds and removes no tokens.
    const passedMs = Math.max(0, nowMs - this.#atMs)
    this.#left = Math.min(burst, this.#left + (passedMs / 1_000) * perSecond)
    this.#atMs = nowMs
    return this.#left
  }

  /** Uses one token; returns false if there is none. */
  take(nowMs: number): boolean {
    if (this.left(nowMs) < 1) return false
    this.#left -= 1
    return true
  }

  /** Same, for a hot path: the clock is read only when the known tokens are used up. */
  takeLazily(nowMs: () => number): boolean {
    if (this.#left < 1) return this.take(nowMs())
    this.#left -= 1
    return true
  }

  /** Uses `amount` in any case: the number of tokens may become negative, and recovers from there. */
  use(amount: number, nowMs: number): void {
    this.#left = this.left(nowMs) - amount
  }
}

export interface KeyedRate extends Rate {
  /** Maximum of keys that are kept; beyond it the least recently used one starts anew. */
  readonly maxKeys: number
}

/** One token bucket for each key: use by one key does not affect the others. */
export class TokenBuckets<Key> {
  readonly #rate: Rate
  readonly #buckets: LruMap<Key, TokenBucket>

  constructor(rate: KeyedRate) {
    this.#rate = rate
    this.#buckets = new LruMap(rate.maxKeys)
  }

  /** Tokens that are left for a key. */
  left(key: Key, nowMs: number): number {
    return this.#buckets.get(key)?.left(nowMs) ?? this.#rate.burst
  }

  /** Uses one token of `key`; returns false if there is none. */
  take(key: Key, nowMs: number): boolean {
    return this.#of(key, nowMs).take(nowMs)
  }

  /** Uses `amount` of `key` in any case. */
  use(key: Key, amount: number, nowMs: number): void {
    this.#of(key, nowMs).use(amount, nowMs)
  }

  #of(key: Key, nowMs: number): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, nowMs)
    this.#buckets.set(key, bucket)
    return bucket
  }
}
