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
/** What one member may have handed on: so many a second, after a burst. */
export const RELAYS: KeyedRate = { perSecond: 50, burst: 200, maxKeys: 8_192 }
/** Members asked to hand one on, and the time between one and the next. */
const MAX_TRIED = 3
const STAGGER_MS = 250
/** Bounds the memory of who helped; who is forgotten is found again by asking. */
const MAX_REMEMBERED = 4_096
const NOTHING = new Uint8Array()

/**
 * Brings acknowledgements to owners that this host does not reach, over a member that reaches both, and hands on those of
 * others. Their author signs them, so the member in between can lose one, and no more.
 */
export class AckRelay {
  readonly #deps: AckRelayDeps
  readonly #relays = new TokenBuckets<PeerKey>(RELAYS)
  readonly #helped = new LruMap<PeerKey, PeerKey>(MAX_REMEMBERED)
  #receive: ((ack: Uint8Array, author: PeerKey) => void) | undefined

  /** Before the mesh starts: takes its protocol. */
  constructor(deps: AckRelayDeps) {
    this.#deps = deps
    const sizes = { maxRequestBytes: MAX_BYTES, maxResponseBytes: MAX_BYTES }
    deps.mesh.handle(PROTOCOL, (from, request, signal) => this.#serve(from, request, signal), sizes)
  }

  /** Hands every acknowledgement that is truly of its author to `receive`. Before the mesh starts. */
  deliverTo(receive: (ack: Uint8Array, author: PeerKey) => void): void {
    this.#receive = receive
  }

  /** Delivers an acknowledgement: by `direct`, or if that fails or is late over others. Rejects as the last of them. */
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
    // A dial takes long to fail where nothing answers; so it comes second where another way is known to work.
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
      throw new WarrenError(ErrorCode.MessageMalformed, 'that is no peer key')
    }
    const [owner, author] = [peerKeyOf(message.owner), peerKeyOf(message.author)]
    if (owner === mesh.peer) {
      const signed = Buffer.concat([message.owner, message.ack])
      if (!isMember(author) || !verify(message.author, signed, message.signature)) {
        throw new WarrenError(ErrorCode.PermissionDenied, 'an acknowledgement that is not of its author')
      }
      if (this.#receive === undefined) throw new WarrenError(ErrorCode.NotReady, 'the registry is not there yet')
      this.#receive(message.ack, author)
      return NOTHING
    }
    // One hop: nobody has his own handed on in another's name, or further than to a neighbour.
    if (author !== from) throw new WarrenError(ErrorCode.PermissionDenied, 'an acknowledgement of somebody else')
    if (!this.#relays.take(from, this.#deps.monotonicMs())) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many acknowledgements to hand on', { limit: 'ack_relays' })
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
