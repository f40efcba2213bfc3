import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { GatheredAck } from '../registry/index.ts'
import type { AckRelay } from './ack-relay.ts'
import type { Gathering } from './gather/index.ts'

export const SYNC_RESPONSE_BYTES = 1024 * 1024
const SMALL_BYTES = 1_024

/** The part of the mesh that spreads the registry. */
export interface RegistryTransport {
  readonly publish: (bytes: Uint8Array) => Promise<number>
  readonly sync: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly ack: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<void>
  /** Carries acknowledgements that somebody waits for, over permanent connections. */
  readonly gather: (ack: GatheredAck) => void
  readonly connected: () => readonly PeerKey[]
  /** Peers that `publish` sends to. */
  readonly listening: () => readonly PeerKey[]
  /** Resolves when the connected peers have taken what was published. Never rejects. */
  readonly taken: (timeoutMs: number) => Promise<void>
}

/** The transport of the registry over the mesh; acknowledgements that nobody gathers go, if necessary, through `relay`. */
export function registryTransport(
  mesh: Mesh,
  relay: Pick<AckRelay, 'send'>,
  gathering: Pick<Gathering, 'answer'>
): RegistryTransport {
  return {
    publish: (bytes: Uint8Array) => mesh.publish('registry', bytes),
    sync: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) =>
      mesh.request(peer, '/warren/sync/1', bytes, { signal, maxResponseBytes: SYNC_RESPONSE_BYTES }),
    ack: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => ackThrough(mesh, relay, peer, bytes, signal),
    gather: ({ owner, epoch, seq, via, again, isSent }) =>
      gathering.answer({
        requester: owner,
        kind: 'acknowledgement',
        run: epoch,
        number: seq,
        via,
        again,
        isAnswered: isSent
      }),
    connected: () => mesh.connected(),
    listening: () => mesh.listening('registry'),
    // The answer to a ping comes after all that was sent before it on the same connection.
    taken: async (timeoutMs: number) => {
      await Promise.all(mesh.connected().map(peer => mesh.ping(peer, timeoutMs)))
    }
  }
}

/** Sends an acknowledgement to its owner, who is dialled if nobody forwards it. */
export async function ackThrough(
  mesh: Pick<Mesh, 'request'>,
  relay: Pick<AckRelay, 'send'>,
  owner: PeerKey,
  ack: Uint8Array,
  signal: AbortSignal
): Promise<void> {
  const direct = async (limit: AbortSignal): Promise<void> => {
    await mesh.request(owner, '/warren/ack/1', ack, { signal: limit, maxResponseBytes: SMALL_BYTES })
  }
  await relay.send(owner, ack, direct, signal)
}
