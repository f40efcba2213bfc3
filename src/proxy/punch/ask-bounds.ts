import { type Clock, type Metrics, Quota, TokenBuckets } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { limitExceeded } from '../limits.ts'
import { MAX_PUNCH_ASKS, MAX_PUNCH_ASKS_PER_HOST, MAX_PUNCH_HOSTS, PUNCH_RATE } from './limits.ts'

const WHAT = 'connections that this host wants arranged'

/** Bounds what other members ask this one for: connections between NATs, and where their datagrams come from, together. */
export class AskBounds {
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #rates = new TokenBuckets<PeerKey>({ ...PUNCH_RATE, maxKeys: MAX_PUNCH_HOSTS })
  readonly #places = new Quota<PeerKey>(MAX_PUNCH_ASKS_PER_HOST, MAX_PUNCH_ASKS)

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Takes a place for an ask of `peer`, and returns what gives it back. Throws LIMIT_EXCEEDED. */
  take(peer: PeerKey): () => void {
    if (!this.#rates.take(peer, this.#clock.monotonicMs())) {
      throw limitExceeded(this.#metrics, 'proxy_punch_rate', WHAT, PUNCH_RATE.perSecond, { peer })
    }
    const release = this.#places.take(peer)
    if (release !== undefined) return release
    if (this.#places.size >= MAX_PUNCH_ASKS) {
      throw limitExceeded(this.#metrics, 'proxy_punch_asks', WHAT, MAX_PUNCH_ASKS)
    }
    throw limitExceeded(this.#metrics, 'proxy_punch_asks_per_host', WHAT, MAX_PUNCH_ASKS_PER_HOST, { peer })
  }
}
