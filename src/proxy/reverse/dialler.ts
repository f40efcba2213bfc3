import {
  type Clock,
  connectTcp,
  detach,
  ErrorCode,
  type HostPort,
  type Logger,
  type Metrics,
  Quota,
  raceStaggered,
  TokenBuckets,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { begun, type MadeConnection } from '../begun.ts'
import { type Path, REVERSE_PATH } from '../carriers/index.ts'
import { limitExceeded } from '../limits.ts'
import { PathMemory } from '../path-memory.ts'
import { REVERSE_BACKOFF_MAX_MS, REVERSE_BACKOFF_MS, REVERSE_DIAL_TIMEOUT_MS, STAGGER_MS } from '../timing.ts'
import type { ReverseDeps } from './deps.ts'
import { decodeTokens, encodePreamble, proofOf } from './format.ts'
import { GoodEnds } from './good-ends.ts'
import {
  MAX_REVERSE_DIALS,
  MAX_REVERSE_DIALS_PER_HOST,
  MAX_REVERSE_HOSTS,
  MAX_REVERSE_PORTS,
  REVERSE_RATE
} from './limits.ts'

export interface ReverseDiallerOptions {
  readonly deps: Pick<ReverseDeps, 'peer' | 'dataPortsOf'>
  /** Serves a connection like one that arrived at the data port, and owns its socket. */
  readonly serve: (connection: ReverseConnection) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/** A connection to an agent that asked for it, and has begun to send. */
export interface ReverseConnection extends MadeConnection {
  readonly path: Path
}

/** What connections begin with that an agent asks for, and how they are shown. */
export interface AskedFor {
  readonly preambleOf: (token: Uint8Array) => Buffer
  readonly path: Path
}

/**
 * Connects to the data ports of other agents when they ask for it.
 *
 * An agent can have nothing dialled but itself: the address is that of the mesh connection in which it has proved its key, and
 * it learns nothing of an attempt but a connection.
 */
export class ReverseDialler {
  readonly #options: ReverseDiallerOptions
  readonly #rates = new TokenBuckets<string>({ ...REVERSE_RATE, maxKeys: MAX_REVERSE_HOSTS })
  readonly #dials = new Quota<string>(MAX_REVERSE_DIALS_PER_HOST, MAX_REVERSE_DIALS)
  readonly #failures: PathMemory
  readonly #good = new GoodEnds()

  constructor(options: ReverseDiallerOptions) {
    this.#options = options
    const pauses = { firstMs: REVERSE_BACKOFF_MS, longestMs: REVERSE_BACKOFF_MAX_MS }
    this.#failures = new PathMemory(pauses, options.clock.monotonicMs)
  }

  /**
   * Begins a connection to the agent `peer` for each token in its request, and returns for how many of the first ones.
   *
   * Throws MESSAGE_MALFORMED, LIMIT_EXCEEDED if there is room for none, or DESTINATION_UNREACHABLE if that agent's data port is
   * not known or was not reached a moment ago.
   */
  asked(peer: PeerKey, request: Uint8Array): number {
    const { peer: dialler } = this.#options.deps
    const preambleOf = (token: Uint8Array): Buffer => encodePreamble(proofOf({ token, requester: peer, dialler }))
    return this.dial(peer, request, { preambleOf, path: REVERSE_PATH })
  }

  /** As `asked`, for connections that begin otherwise. `tokens` are those of a request. */
  dial(peer: PeerKey, bytes: Uint8Array, { preambleOf, path }: AskedFor): number {
    const { deps, clock, log, stopping } = this.#options
    const tokens = decodeTokens(bytes)
    if (tokens === undefined)
      throw new WarrenError(ErrorCode.MessageMalformed, 'a request for connections has no tokens')
    if (this.#failures.isBlocked(peer)) throw unreachable('the data port of this host was not reached a moment ago')
    const ends = this.#good.ordered(peer, deps.dataPortsOf(peer).slice(0, MAX_REVERSE_PORTS))
    if (ends.length === 0) throw unreachable('its agent does not know where the data port of this host is')
    // What others have a relay ask must not use up what the relay may ask for itself.
    const account = path === REVERSE_PATH ? peer : `relay ${peer}`
    let accepted = 0
    for (const token of tokens) {
      if (!this.#rates.take(account, clock.monotonicMs())) {
        this.#exceeded('proxy_reverse_rate', REVERSE_RATE.perSecond, peer, accepted)
        break
      }
      const release = this.#dials.take(account)
      if (release === undefined) {
        const isAll = this.#dials.size >= MAX_REVERSE_DIALS
        if (isAll) this.#exceeded('proxy_reverse_dials', MAX_REVERSE_DIALS, peer, accepted)
        else this.#exceeded('proxy_reverse_dials_per_host', MAX_REVERSE_DIALS_PER_HOST, peer, accepted)
        break
      }
      const dialling = this.#dial({ peer, path }, ends, preambleOf(token), release)
      detach(log, 'reverse connection', dialling, stopping)
      accepted += 1
    }
    return accepted
  }

  /** Forgets that a host was not reached. */
  pathAppeared(peer: PeerKey): void {
    this.#failures.worked(peer)
  }

  /** Throws if no token was accepted: otherwise the number says it. */
  #exceeded(
    name: 'proxy_reverse_rate' | 'proxy_reverse_dials' | 'proxy_reverse_dials_per_host',
    limit: number,
    peer: PeerKey,
    accepted: number
  ): void {
    const error = limitExceeded(this.#options.metrics, name, 'connections that this host asks for', limit, { peer })
    if (accepted === 0) throw error
  }

  async #dial(
    { peer, path }: Pick<ReverseConnection, 'peer' | 'path'>,
    ends: readonly HostPort[],
    preamble: Buffer,
    release: () => void
  ): Promise<void> {
    const { serve, metrics, log, stopping } = this.#options
    let isReached = false
    const onReached = (): void => {
      isReached = true
    }
    try {
      const attempts = ends.map(end => async (limit: AbortSignal) => {
        const one = await connectBack(end, preamble, onReached, limit)
        this.#good.reached(peer, end)
        return one
      })
      const made = await within(REVERSE_DIAL_TIMEOUT_MS, [stopping], limit =>
        raceStaggered(attempts, STAGGER_MS, limit, late => late.socket.destroy())
      )
      this.#failures.worked(peer)
      metrics.count('warren_reverse_connections_total', { role: 'dialler', result: 'ok' })
      made.socket.once('close', release)
      serve({ ...made, peer, path, place: { heard: () => {}, release, onLoss: () => {} } })
    } catch (err) {
      release()
      // A relay that was reached has done its part: the third agent did not come. Those that fail together are one failure.
      const isOwn = path === REVERSE_PATH || !isReached
      if (isOwn && !this.#failures.isBlocked(peer)) this.#failures.failed(peer)
      metrics.count('warren_reverse_connections_total', { role: 'dialler', result: 'failed' })
      log.debug('the data port of a host that asked for a connection was not reached', { peer, err })
    }
  }
}

/** Connects, sends the preamble, and resolves once the other end has begun to send: it has recognised the preamble. */
async function connectBack(
  end: HostPort,
  preamble: Buffer,
  onReached: () => void,
  signal: AbortSignal
): Promise<Pick<ReverseConnection, 'socket' | 'firstByte'>> {
  const how = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 }
  const socket = await connectTcp({ ...end, ...how }, signal)
  onReached()
  const first = begun(socket, signal)
  socket.write(preamble)
  return { socket, firstByte: await first }
}

function unreachable(reason: string): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, reason)
}
