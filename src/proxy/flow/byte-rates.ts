import { type Metrics, TokenBucket } from '../../core/index.ts'
import type { UsageLimits } from '../../policy/index.ts'
import type { Flow } from './flow.ts'

/** The limits of the bytes of one flow. */
export interface Pace {
  /** Counts bytes that pass. Returns the time to wait before more may pass, in milliseconds; zero: none. */
  readonly use: (bytes: number) => number
}

interface Rate {
  readonly perSecond: number
  readonly bucket: TokenBucket
}

/** Bytes that pass without a wait: a tenth of a second's, and at least one read of a socket. */
const BURST_S = 0.1
const MIN_BURST_BYTES = 64 * 1024

/** The bytes that registrations and rules may carry in a second. The flows of one share what it has. */
export class ByteRates {
  readonly #limitsOf: (registrationId: string) => UsageLimits
  readonly #metrics: Metrics
  readonly #nowMs: () => number
  /** By registration, then by rule; an empty one for the registration itself. */
  readonly #rates = new Map<string, Map<string, Rate>>()

  constructor(limitsOf: (registrationId: string) => UsageLimits, metrics: Metrics, nowMs: () => number) {
    this.#limitsOf = limitsOf
    this.#metrics = metrics
    this.#nowMs = nowMs
  }

  /** The limits of a flow as they are now, by the registrations of this host that take part in it. */
  paceOf(flow: Pick<Flow, 'id' | 'destination' | 'ruleLimits'>, registrationIds: readonly string[]): Pace | undefined {
    const rates: Rate[] = []
    const add = (id: string, rule: string, { maxRateBytes }: UsageLimits): void => {
      if (maxRateBytes !== undefined) rates.push(this.#rateOf(id, rule, maxRateBytes))
    }
    for (const id of registrationIds) {
      add(id, '', this.#limitsOf(id))
      // A rule limits at the agent of the destination.
      if (flow.destination?.registrationId !== id) continue
      for (const limits of flow.ruleLimits) add(id, limits.rule, limits)
    }
    return rates.length === 0 ? undefined : { use: bytes => this.#use(rates, bytes, flow.id) }
  }

  /** Forgets a registration without flows. */
  forget(registrationId: string): void {
    this.#rates.delete(registrationId)
  }

  #use(rates: readonly Rate[], bytes: number, flowId: string): number {
    const nowMs = this.#nowMs()
    let longestMs = 0
    for (const { bucket, perSecond } of rates) {
      bucket.use(bytes, nowMs)
      const waitMs = (-bucket.left(nowMs) / perSecond) * 1_000
      if (waitMs <= 0) continue
      longestMs = Math.max(longestMs, waitMs)
      this.#metrics.hit('proxy_bytes_per_second', { flowId, limit: perSecond })
    }
    return longestMs
  }

  #rateOf(id: string, rule: string, perSecond: number): Rate {
    const ofRegistration = this.#rates.get(id) ?? new Map<string, Rate>()
    this.#rates.set(id, ofRegistration)
    const known = ofRegistration.get(rule)
    if (known?.perSecond === perSecond) return known
    const burst = Math.max(MIN_BURST_BYTES, perSecond * BURST_S)
    const rate = { perSecond, bucket: new TokenBucket({ perSecond, burst }, this.#nowMs()) }
    ofRegistration.set(rule, rate)
    return rate
  }
}
