export interface AllowanceRate {
  /** What a key may use at once. */
  readonly burst: number
  /** What it gets back. */
  readonly perSecond: number
  /** Keys remembered; beyond that the one unused for longest is forgotten. */
  readonly maxKeys: number
}

interface Account {
  readonly left: number
  readonly atMs: number
}

/** How much each of many keys may still use of something. Pure: the monotonic time is an argument. */
export class Allowance<Key> {
  readonly #rate: AllowanceRate
  readonly #accounts = new Map<Key, Account>()

  constructor(rate: AllowanceRate) {
    this.#rate = rate
  }

  /** What is left for a key. */
  left(key: Key, nowMs: number): number {
    const { burst, perSecond } = this.#rate
    const account = this.#accounts.get(key)
    if (account === undefined) return burst
    return Math.min(burst, account.left + ((nowMs - account.atMs) / 1_000) * perSecond)
  }

  /** Uses `amount`; what is left may become negative, which the key pays off first. */
  use(key: Key, amount: number, nowMs: number): void {
    const account = { left: this.left(key, nowMs) - amount, atMs: nowMs }
    // Taken out and put back, so that the first key of the map is the one unused for longest.
    this.#accounts.delete(key)
    this.#accounts.set(key, account)
    if (this.#accounts.size <= this.#rate.maxKeys) return
    const oldest = this.#accounts.keys().next()
    if (oldest.done !== true) this.#accounts.delete(oldest.value)
  }
}
