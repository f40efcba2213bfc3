import { detach, type Logger, LruMap, loop } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Sessions } from '../admission/index.ts'
import { MAX_CONNECTIONS, ON_DEMAND_CHECK_MS, ON_DEMAND_IDLE_MS } from '../limits.ts'

export interface OnDemandDeps {
  readonly sessions: Pick<Sessions, 'dialled'>
  /** Whether a connection to this host is kept without a use. */
  readonly isNeighbour: (peer: PeerKey) => boolean
  /** Whether bytes of the data plane use the connection. */
  readonly carriesData: (peer: PeerKey) => boolean
  readonly close: (peer: PeerKey) => Promise<void>
  readonly monotonicMs: () => number
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * Ends connections that this host dialled for one use, when that use is over.
 *
 * Only the side that dialled ends one: it knows why it did. The other side may count the host among its own neighbours; then it
 * dials, and the connection is its.
 */
export class OnDemand {
  readonly #deps: OnDemandDeps
  /** Last use. */
  readonly #usedMs = new LruMap<PeerKey, number>(MAX_CONNECTIONS)

  constructor(deps: OnDemandDeps) {
    this.#deps = deps
  }

  start(): void {
    const { log, signal } = this.#deps
    const options = { intervalMs: () => ON_DEMAND_CHECK_MS, signal }
    const rounds = loop(log, 'connections on demand', options, () => this.round())
    detach(log, 'connections on demand', rounds, signal)
  }

  /** A request, an answer or a stream has used the connection to this host. */
  used(peer: PeerKey): void {
    this.#usedMs.set(peer, this.#deps.monotonicMs())
  }

  gone(peer: PeerKey): void {
    this.#usedMs.delete(peer)
  }

  /** Ends the connections that nobody uses. Never rejects. */
  async round(): Promise<void> {
    const { sessions, isNeighbour, carriesData, close, monotonicMs, log } = this.#deps
    const now = monotonicMs()
    const idle = sessions.dialled().filter(({ peer, ageMs }) => {
      if (isNeighbour(peer) || carriesData(peer)) return false
      const usedMs = this.#usedMs.get(peer)
      return ageMs >= ON_DEMAND_IDLE_MS && (usedMs === undefined || now - usedMs >= ON_DEMAND_IDLE_MS)
    })
    for (const { peer } of idle) log.debug('connection ended: not in use', { peer })
    await Promise.all(idle.map(({ peer }) => close(peer)))
  }
}
