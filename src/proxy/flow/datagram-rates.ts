import { TokenBucket } from '../../core/index.ts'
import type { Flow } from './flow.ts'

/** The datagrams that registrations of this host may send and receive in a second. */
export class DatagramRates {
  readonly #perSecond: number
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(perSecond: number, nowMs: () => number) {
    this.#perSecond = perSecond
    this.#nowMs = nowMs
  }

  /** Counts the datagrams of a flow for these registrations from now on. */
  limit(flow: Flow, registrationIds: readonly string[]): void {
    flow.buckets = registrationIds.map(id => {
      const bucket = this.#bucketOf(id)
      return () => bucket.takeLazily(this.#nowMs)
    })
    flow.datagramsPerSecond = this.#perSecond
  }

  /** Forgets a registration without flows. */
  forget(registrationId: string): void {
    this.#buckets.delete(registrationId)
  }

  #bucketOf(id: string): TokenBucket {
    const perSecond = this.#perSecond
    const bucket = this.#buckets.get(id) ?? new TokenBucket({ perSecond, burst: perSecond }, this.#nowMs())
    this.#buckets.set(id, bucket)
    return bucket
  }
}
