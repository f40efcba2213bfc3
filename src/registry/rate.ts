/** What became of one attempt; `first-refused` is the first refusal since half of the burst was there. */
export type RateVerdict = 'allowed' | 'first-refused' | 'refused'

interface Allowance {
  left: number
  atMs: number
  refusing: boolean
}

/** Token buckets by key: `perSecond` sustained, `burst` at once; at most `maxKeys`, the longest unused going first. */
export class RateTable {
  readonly #perSecond: number
  readonly #burst: number
  readonly #maxKeys: number
  readonly #allowances = new Map<string, Allowance>()

  constructor(perSecond: number, burst: number, maxKeys: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#maxKeys = maxKeys
  }

  /** Whether something is left for `key` at a monotonic time; takes nothing. */
  check(key: string, monotonicMs: number): RateVerdict {
    const allowance = this.#refill(key, monotonicMs)
    if (allowance === undefined || allowance.left >= 1) return 'allowed'
    const verdict = allowance.refusing ? 'refused' : 'first-refused'
    allowance.refusing = true
    return verdict
  }

  /** Takes one of `key`, if any is left. */
  take(key: string, monotonicMs: number): RateVerdict {
    const allowance = this.#refill(key, monotonicMs) ?? { left: this.#burst, atMs: monotonicMs, refusing: false }
    this.#allowances.delete(key)
    this.#allowances.set(key, allowance)
    if (this.#allowances.size > this.#maxKeys) {
      const oldest = this.#allowances.keys().next()
      if (oldest.done !== true) this.#allowances.delete(oldest.value)
    }
    if (allowance.left >= 1) {
      allowance.left -= 1
      // Not at the first one allowed again: a steady flood would raise an alarm for each of them.
      if (allowance.left >= this.#burst / 2) allowance.refusing = false
      return 'allowed'
    }
    const verdict = allowance.refusing ? 'refused' : 'first-refused'
    allowance.refusing = true
    return verdict
  }

  #refill(key: string, monotonicMs: number): Allowance | undefined {
    const allowance = this.#allowances.get(key)
    if (allowance === undefined) return undefined
    const passed = Math.max(0, monotonicMs - allowance.atMs)
    allowance.left = Math.min(this.#burst, allowance.left + (passed / 1_000) * this.#perSecond)
    allowance.atMs = monotonicMs
    return allowance
  }
}
