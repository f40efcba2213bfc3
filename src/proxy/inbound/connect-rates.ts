import { type Metrics, TokenBucket } from '../../core/index.ts'
import { limitExceeded } from '../limits.ts'

interface Bounded {
  readonly perSecond: number
  readonly bucket: TokenBucket
}

/** How many connections are opened to each registration of this host in a second. */
export class ConnectRates {
  readonly #perSecond: number
  readonly #metrics: Metrics
  readonly #nowMs: () => number
  readonly #bounded = new Map<string, Bounded>()

  /** `perSecond` is for registrations without a bound of their own, and the most for the others. */
  constructor(perSecond: number, metrics: Metrics, nowMs: () => number) {
    this.#perSecond = perSecond
    this.#metrics = metrics
    this.#nowMs = nowMs
  }

  /** Counts a connection to a registration, of which `own` may be opened in a second. Throws LIMIT_EXCEEDED. */
  take(registrationId: string, own: number | undefined): void {
    let bounded = this.#bounded.get(registrationId)
    if (bounded === undefined) {
      const perSecond = Math.min(own ?? this.#perSecond, this.#perSecond)
      bounded = { perSecond, bucket: new TokenBucket({ perSecond, burst: perSecond }, this.#nowMs()) }
      this.#bounded.set(registrationId, bounded)
    }
    if (bounded.bucket.takeLazily(this.#nowMs)) return
    const what = 'connections to it in a second'
    throw limitExceeded(this.#metrics, 'proxy_connects_per_workload', what, bounded.perSecond, { registrationId })
  }

  /** Forgets a registration that ended; without an argument, all. */
  forget(registrationId?: string): void {
    if (registrationId === undefined) this.#bounded.clear()
    else this.#bounded.delete(registrationId)
  }
}
