import { type KeyedRate, LruMap, TokenBucket } from '../core/index.ts'

/** The result of one attempt; `first-refused` is the first refusal since the bucket was last half full. */
export type RateVerdict = 'allowed' | 'first-refused' | 'refused'

interface Account {
  readonly bucket: TokenBucket
  isRefusing: boolean
}

/** A token bucket for each key; it distinguishes the first refusal of a flood from those that follow. */
export class RateTable {
  readonly #rate: KeyedRate
  readonly #accounts: LruMap<string, Account>

  constructor(rate: KeyedRate) {
    this.#rate = rate
    this.#accounts = new LruMap(rate.maxKeys)
  }

  /** Whether a token is left for `key` at a monotonic time; takes none. */
  check(key: string, monotonicMs: number): RateVerdict {
    const account = this.#accounts.get(key)
    if (account === undefined || account.bucket.left(monotonicMs) >= 1) return 'allowed'
    return refused(account)
  }

  /** Takes one token of `key`, if any is left. */
  take(key: string, monotonicMs: number): RateVerdict {
    const bucket = (): TokenBucket => new TokenBucket(this.#rate, monotonicMs)
    const account = this.#accounts.get(key) ?? { bucket: bucket(), isRefusing: false }
    this.#accounts.set(key, account)
    if (!account.bucket.take(monotonicMs)) return refused(account)
    // Not reset by the first allowed attempt: a steady flood would then raise an alarm for each one.
    if (account.bucket.left(monotonicMs) >= this.#rate.burst / 2) account.isRefusing = false
    return 'allowed'
  }
}

function refused(account: Account): RateVerdict {
  const verdict = account.isRefusing ? 'refused' : 'first-refused'
  account.isRefusing = true
  return verdict
}
