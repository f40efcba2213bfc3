import type { TLSSocket } from 'node:tls'
import {
  ErrorCode,
  type LimitName,
  type Metrics,
  networkOf,
  type RateLimitedLog,
  UnprovenQuota,
  WarrenError,
  within
} from '../../core/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { ProxyLimits } from '../limits.ts'
import { FIRST_BYTE_TIMEOUT_MS, JOIN_TIMEOUT_MS } from '../timing.ts'

interface UnauthenticatedExchangesOptions {
  /** For the log. */
  readonly what: 'join' | 'renewal'
  readonly serve: ProxyDeps['join']
  readonly limitNames: readonly [total: LimitName, perHost: LimitName]
  readonly limits: ProxyLimits
  readonly metrics: Metrics
  readonly log: RateLimitedLog
  readonly stopping: AbortSignal
}

/** Peers that are refused and wait for the answer that says so. Beyond this number the connection is just closed. */
const MAX_REFUSALS = 64

/**
 * The exchanges of one kind with peers that have no valid certificate yet: bounded in all and for each network, and silent ones
 * make room for others.
 */
export class UnauthenticatedExchanges {
  readonly #options: UnauthenticatedExchangesOptions
  readonly #quota: UnprovenQuota
  readonly #sockets = new Set<TLSSocket>()
  #refusals = 0

  constructor(options: UnauthenticatedExchangesOptions) {
    const { limits, metrics, limitNames } = options
    this.#options = options
    const [total, perHost] = limitNames
    // A host that joins may be slow, and its link too: silent ones make room when their place is needed, and not before.
    const bounds = { total: limits.joins, perNetwork: limits.joinsPerHost, silentMs: JOIN_TIMEOUT_MS }
    this.#quota = new UnprovenQuota(bounds, (bound, remote) => {
      if (bound === 'total') metrics.hit(total, { remote, limit: bounds.total })
      else metrics.hit(perHost, { remote, limit: bounds.perNetwork })
    })
  }

  /** Runs one exchange and closes its connection. Never rejects. `remote` is for the log. */
  async serve(socket: TLSSocket, remote: string): Promise<void> {
    const { what, serve, limits, log, stopping } = this.#options
    const full = new AbortController()
    let refusal: WarrenError | undefined
    const place = this.#quota.enter(networkOf(socket.remoteAddress ?? ''), why => {
      refusal = new WarrenError(ErrorCode.LimitExceeded, `too many ${what}s at once; the limit is ${limits.joins}`)
      if (why === 'refused' && this.#refusals < MAX_REFUSALS) this.#refuseLater(socket)
      else full.abort(refusal)
    })
    socket.once('readable', place.heard)
    socket.once('close', place.release)
    this.#sockets.add(socket)
    try {
      await within(JOIN_TIMEOUT_MS, [stopping, full.signal], signal => {
        signal.addEventListener('abort', () => socket.destroy(), { once: true })
        return serve(socket, signal, () => {
          if (refusal !== undefined) throw refusal
        })
      })
    } catch (err) {
      log.warn(networkOf(socket.remoteAddress ?? ''), `${what} exchange failed`, {
        remote,
        reason: WarrenError.from(err).reason
      })
    } finally {
      this.#sockets.delete(socket)
      place.release()
      // The answer must still leave; a joiner that does not close is cut by its timeout.
      if (socket.writableEnded) socket.destroySoon()
      else socket.destroy()
    }
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  // The answer follows the request, so that the requester has verified this host and knows whose answer it is.
  #refuseLater(socket: TLSSocket): void {
    this.#refusals += 1
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTE_TIMEOUT_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#refusals -= 1
    })
  }
}
