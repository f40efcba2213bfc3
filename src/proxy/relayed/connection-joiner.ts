import type { Socket } from 'node:net'
import {
  type Clock,
  ErrorCode,
  type Logger,
  type Metrics,
  Quota,
  TokenBuckets,
  type UnprovenPlace,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { limitExceeded } from '../limits.ts'
import { decodeTokens } from '../reverse/index.ts'
import { FIRST_BYTE_TIMEOUT_MS, JOIN_HALVES_TIMEOUT_MS, RELAYED_ASK_TIMEOUT_MS } from '../timing.ts'
import type { RelayDeps } from './deps.ts'
import { decodePreamble, decodeRequest, encodeRequest, PREAMBLE_BYTES, proofOf } from './format.ts'
import { JOIN_RATE, MAX_JOIN_HOSTS, MAX_JOINED, MAX_JOINED_PER_HOST } from './limits.ts'
import { type PassedOn, spliceSockets } from './splice-sockets.ts'

export interface ConnectionJoinerOptions {
  /** The key of this host. */
  readonly self: PeerKey
  readonly deps: Pick<RelayDeps, 'takesJoined' | 'askWanted' | 'machineOf'>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

type Side = 'opener' | 'wanted'

/** Two connections that belong together, from the request on. */
interface Pair {
  readonly opener: PeerKey
  readonly wanted: PeerKey
  readonly sockets: Partial<Record<Side, Socket>>
  /** Forgets it, and closes what has arrived. */
  readonly end: () => void
  /** Stops the time for both to arrive. */
  readonly complete: () => void
}

/**
 * Joins TCP connections of two members that do not reach each other, byte for byte. What passes is TLS between their workloads, or
 * records under its keys.
 *
 * Both ends dial this host and begin with a proof of a token that they have from the request, which came over their mesh
 * connections. A proof is used once.
 */
export class ConnectionJoiner {
  readonly #options: ConnectionJoinerOptions
  readonly #rates = new TokenBuckets<PeerKey>({ ...JOIN_RATE, maxKeys: MAX_JOIN_HOSTS })
  readonly #places = new Quota<PeerKey>(MAX_JOINED_PER_HOST, MAX_JOINED)
  /** By the proof that a connection will begin with. */
  readonly #waiting = new Map<string, { readonly pair: Pair; readonly side: Side }>()
  readonly #pairs = new Set<Pair>()

  constructor(options: ConnectionJoinerOptions) {
    this.#options = options
    options.stopping.addEventListener('abort', () => {
      for (const pair of [...this.#pairs]) pair.end()
    })
  }

  /** Pairs of connections that are joined here, or of which one is missing. */
  get size(): number {
    return this.#pairs.size
  }

  /**
   * Serves a request of the agent `opener`. Resolves with the number of its tokens, the first ones, for which the wanted agent
   * dials this host. Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED, DESTINATION_UNREACHABLE or the refusal of that agent.
   */
  async asked(opener: PeerKey, request: Uint8Array): Promise<number> {
    const { self, deps, stopping, metrics } = this.#options
    const { other: wanted, tokens: all } = decodeRequest(request) ?? {}
    const tokens = all === undefined ? undefined : decodeTokens(all)
    if (wanted === undefined || tokens === undefined)
      throw new WarrenError(ErrorCode.MessageMalformed, 'a request for a relay names no host or has no tokens')
    if (wanted === self || wanted === opener || !deps.takesJoined(wanted))
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'it joins no connections with that host')
    const pairs = this.#enter(opener, wanted, tokens)
    try {
      // Entered before: the wanted agent may dial before its answer is here.
      const asked = encodeRequest(opener, Buffer.concat(tokens.slice(0, pairs.length)))
      const accepted = await within(RELAYED_ASK_TIMEOUT_MS, [stopping], limit => deps.askWanted(wanted, asked, limit))
      for (const pair of pairs.splice(accepted)) pair.end()
      return pairs.length
    } catch (err) {
      for (const pair of pairs) pair.end()
      metrics.count('warren_mesh_relays_total', { result: 'no_path' })
      throw err
    }
  }

  /**
   * Serves a connection whose first byte is that of a relayed connection and has not been consumed. It keeps `place`, that of a peer
   * that has not proved itself, until its preamble matches; one that does not match in time is closed without an answer.
   */
  accept(socket: Socket, place: UnprovenPlace): void {
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTE_TIMEOUT_MS)
    const take = (): void => {
      const bytes: Buffer | null = socket.read(PREAMBLE_BYTES)
      if (bytes === null) return
      socket.off('readable', take)
      clearTimeout(timer)
      const proof = decodePreamble(bytes)
      const key = proof === undefined ? '' : keyOf(proof)
      const found = this.#waiting.get(key)
      this.#waiting.delete(key)
      if (found === undefined) {
        socket.destroy()
        return
      }
      place.release()
      this.#arrived(found.pair, found.side, socket)
    }
    socket.once('close', () => clearTimeout(timer))
    socket.on('readable', take)
    take()
  }

  /** Closes the connections of hosts that are no longer members. */
  review(): void {
    const { takesJoined } = this.#options.deps
    for (const pair of [...this.#pairs]) if (!takesJoined(pair.opener) || !takesJoined(pair.wanted)) pair.end()
  }

  /** A pair for each token, as far as there is room. Throws LIMIT_EXCEEDED if there is none. */
  #enter(opener: PeerKey, wanted: PeerKey, tokens: readonly Uint8Array[]): Pair[] {
    const { metrics, clock, deps } = this.#options
    const pairs: Pair[] = []
    for (const token of tokens) {
      const isWithinRate = this.#rates.take(opener, clock.monotonicMs())
      const release = isWithinRate ? this.#places.take(opener) : undefined
      if (release === undefined) {
        const isAll = this.#places.size >= MAX_JOINED
        const [name, limit] = !isWithinRate
          ? (['proxy_relay_rate', JOIN_RATE.perSecond] as const)
          : isAll
            ? (['proxy_relayed', MAX_JOINED] as const)
            : (['proxy_relayed_per_host', MAX_JOINED_PER_HOST] as const)
        const machine = deps.machineOf(opener)
        const error = limitExceeded(metrics, name, 'connections that are relayed for this host', limit, { machine })
        if (pairs.length > 0) break
        metrics.count('warren_mesh_relays_total', { result: 'refused' })
        throw error
      }
      pairs.push(this.#pair(opener, wanted, token, release))
    }
    return pairs
  }

  #pair(opener: PeerKey, wanted: PeerKey, token: Uint8Array, release: () => void): Pair {
    const { self: relay } = this.#options
    const diallers = { opener, wanted } as const
    const proofs = (['opener', 'wanted'] as const).map(
      side => [side, keyOf(proofOf({ token, relay, dialler: diallers[side] }))] as const
    )
    const timer = setTimeout(() => pair.end(), JOIN_HALVES_TIMEOUT_MS)
    const sockets: Pair['sockets'] = {}
    const pair: Pair = {
      opener,
      wanted,
      sockets,
      complete: () => clearTimeout(timer),
      end: () => {
        clearTimeout(timer)
        for (const [, proof] of proofs) if (this.#waiting.get(proof)?.pair === pair) this.#waiting.delete(proof)
        if (!this.#pairs.delete(pair)) return
        release()
        sockets.opener?.destroy()
        sockets.wanted?.destroy()
      }
    }
    for (const [side, proof] of proofs) this.#waiting.set(proof, { pair, side })
    this.#pairs.add(pair)
    return pair
  }

  #arrived(pair: Pair, side: Side, socket: Socket): void {
    pair.sockets[side] = socket
    const { opener, wanted } = pair.sockets
    if (opener === undefined || wanted === undefined) {
      // Until the other one is here, nothing is read.
      socket.pause().once('close', pair.end)
      return
    }
    pair.complete()
    for (const one of [opener, wanted]) one.off('close', pair.end)
    try {
      const { sockets, done } = spliceSockets(opener, wanted)
      pair.sockets.opener = sockets[0]
      pair.sockets.wanted = sockets[1]
      void this.#follow(pair, done)
    } catch (err) {
      // There are no descriptors.
      this.#options.log.warn('two connections could not be joined', { err })
      pair.end()
    }
  }

  async #follow(pair: Pair, done: Promise<PassedOn>): Promise<void> {
    const { log, metrics, deps } = this.#options
    const ends = { source: deps.machineOf(pair.opener), destination: deps.machineOf(pair.wanted) }
    metrics.count('warren_mesh_relays_total', { result: 'joined' })
    log.info('relaying between two members', { ...ends, count: this.#pairs.size })
    const bytes = await done
    pair.end()
    metrics.count('warren_mesh_relayed_bytes_total', {}, bytes.forth + bytes.back)
    log.info('relaying ended', { ...ends, bytesOut: bytes.forth, bytesIn: bytes.back })
  }
}

function keyOf(proof: Buffer): string {
  return proof.toString('latin1')
}
