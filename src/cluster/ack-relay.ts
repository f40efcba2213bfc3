import {
  ErrorCode,
  type KeyedRate,
  LruMap,
  type Metrics,
  raceStaggered,
  TokenBuckets,
  WarrenError
} from '../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { create, decode, registryPb, toBinary } from '../wire/index.ts'

export interface AckRelayDeps {
  readonly mesh: Pick<Mesh, 'peer' | 'connected' | 'isConnected' | 'request' | 'handle'>
  readonly isMember: (peer: PeerKey) => boolean
  readonly sign: (bytes: Uint8Array) => Uint8Array
  readonly verify: (key: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean
  readonly monotonicMs: () => number
  readonly metrics: Metrics
}

const PROTOCOL = '/warren/ack-relay/1'
const MAX_BYTES = 512
const KEY_BYTES = 32
/** Acknowledgements that are forwarded for one member: this many a second, after a burst. */
export const RELAYS: KeyedRate = { perSecond: 50, burst: 200, maxKeys: 8_192 }
/** Members asked to forward one, and the time between one and the next. */
const MAX_TRIED = 3
const STAGGER_MS = 250
/** Limits the memory of successful helpers; a forgotten helper is found again by asking. */
const MAX_REMEMBERED = 4_096
const NOTHING = new Uint8Array()

/**
 * Delivers acknowledgements to owners that this host does not reach, through a member that reaches both, and forwards those of
 * other members. The author signs them, so the member in between can only lose one.
 */
export class AckRelay {
  readonly #deps: AckRelayDeps
  readonly #relays = new TokenBuckets<PeerKey>(RELAYS)
  readonly #helped = new LruMap<PeerKey, PeerKey>(MAX_REMEMBERED)
  #receive: ((ack: Uint8Array, author: PeerKey) => void) | undefined

  /** Registers the protocol. Call it before the mesh starts. */
  constructor(deps: AckRelayDeps) {
    this.#deps = deps
    const sizes = { maxRequestBytes: MAX_BYTES, maxResponseBytes: MAX_BYTES }
    deps.mesh.handle(PROTOCOL, (from, request, signal) => this.#serve(from, request, signal), sizes)
  }

  /** Passes every acknowledgement that its author signed to `receive`. Call it before the mesh starts. */
  deliverTo(receive: (ack: Uint8Array, author: PeerKey) => void): void {
    this.#receive = receive
  }

  /** Delivers an acknowledgement by `direct`, or if that fails or is late, through others. Rejects with the last error. */
  async send(
    owner: PeerKey,
    ack: Uint8Array,
    direct: (signal: AbortSignal) => Promise<void>,
    signal: AbortSignal
  ): Promise<void> {
    const { mesh } = this.#deps
    if (mesh.isConnected(owner)) {
      await direct(signal)
      return
    }
    const message = this.#sealed(owner, ack)
    const last = this.#helped.get(owner)
    const relayed = this.#helpers(owner, last).map(helper => async (limit: AbortSignal): Promise<void> => {
      await mesh.request(helper, PROTOCOL, message, { signal: limit, maxResponseBytes: MAX_BYTES })
      this.#helped.set(owner, helper)
    })
    // A dial takes long to fail where nothing answers; so it comes second if a helper is known to work.
    const attempts = last === undefined ? [direct, ...relayed] : [...relayed.slice(0, 1), direct, ...relayed.slice(1)]
    await raceStaggered(attempts, STAGGER_MS, signal, () => {})
  }

  #helpers(owner: PeerKey, last: PeerKey | undefined): PeerKey[] {
    return this.#deps.mesh
      .connected()
      .filter(peer => peer !== owner)
      .map(peer => ({ peer, order: peer === last ? -1 : Math.random() }))
      .sort((one, other) => one.order - other.order)
      .slice(0, MAX_TRIED)
      .map(({ peer }) => peer)
  }

  #sealed(owner: PeerKey, ack: Uint8Array): Uint8Array {
    const { sign, mesh } = this.#deps
    const ownerKey = rawKeyOf(owner)
    const signature = sign(Buffer.concat([ownerKey, ack]))
    const fields = { owner: ownerKey, author: rawKeyOf(mesh.peer), ack, signature }
    return toBinary(registryPb.RelayedAckSchema, create(registryPb.RelayedAckSchema, fields))
  }

  async #serve(from: PeerKey, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { mesh, isMember, verify, metrics } = this.#deps
    const message = decode(registryPb.RelayedAckSchema, request, MAX_BYTES)
    if (message.owner.length !== KEY_BYTES || message.author.length !== KEY_BYTES) {
      throw new WarrenError(ErrorCode.MessageMalformed, 'this is not a peer key')
    }
    const [owner, author] = [peerKeyOf(message.owner), peerKeyOf(message.author)]
    if (owner === mesh.peer) {
      const signed = Buffer.concat([message.owner, message.ack])
      if (!isMember(author) || !verify(message.author, signed, message.signature)) {
        throw new WarrenError(ErrorCode.PermissionDenied, 'the acknowledgement is not signed by its author')
      }
      if (this.#receive === undefined) throw new WarrenError(ErrorCode.NotReady, 'the registry is not running yet')
      this.#receive(message.ack, author)
      return NOTHING
    }
    // One hop only: a member can neither forward in the name of another, nor further than to a neighbour.
    if (author !== from)
      throw new WarrenError(ErrorCode.PermissionDenied, 'the acknowledgement belongs to another host')
    if (!this.#relays.take(from, this.#deps.monotonicMs())) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many acknowledgements to forward', { limit: 'ack_relays' })
    }
    if (!mesh.isConnected(owner)) throw new WarrenError(ErrorCode.DestinationUnreachable, 'not connected to its owner')
    try {
      await mesh.request(owner, PROTOCOL, request, { signal, maxResponseBytes: MAX_BYTES })
      metrics.count('warren_registry_acks_relayed_total', { result: 'delivered' })
    } catch (err) {
      metrics.count('warren_registry_acks_relayed_total', { result: 'failed' })
      throw err
    }
    return NOTHING
  }
}
