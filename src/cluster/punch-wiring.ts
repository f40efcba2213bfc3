import { ErrorCode, type HostPort, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'
import { dataPorts } from './reverse-wiring.ts'

const ASK = '/warren/punch/1'
const INVITE = '/warren/punch-invite/1'
const SEEN = '/warren/punch-datagrams/1'
/** Longest request and response. */
const MAX_BYTES = 256

/** In the head of a host that makes, and arranges, connections between two NATs. */
export const PUNCH_CAPABILITY = 'punch'
/** In the head of a host that sends datagrams between two NATs, and tells others from where theirs come. */
export const PUNCH_DATAGRAMS_CAPABILITY = 'punch-datagrams'

/** The parts of the data plane that serve other members. */
export interface PunchServer {
  readonly arrange: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly seen: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly invited: (peer: PeerKey, request: Uint8Array) => void
}

/** Serves members that want connections between NATs arranged, or arrange one. Call it before the mesh starts. */
export function wirePunch(mesh: Mesh, { arrange, invited, seen }: PunchServer): void {
  mesh.handle(ASK, arrange, { maxRequestBytes: MAX_BYTES, maxResponseBytes: MAX_BYTES })
  mesh.handle(SEEN, seen, { maxRequestBytes: MAX_BYTES, maxResponseBytes: MAX_BYTES })
  const invite = async (peer: PeerKey, request: Uint8Array): Promise<Uint8Array> => {
    invited(peer, request)
    return new Uint8Array()
  }
  mesh.handle(INVITE, invite, { maxRequestBytes: MAX_BYTES, maxResponseBytes: 0 })
}

/** The parts of the agent that connections between NATs use. */
export function punchParts(mesh: Mesh, state: RegistryState) {
  const knows = (peer: PeerKey, capability: string): boolean =>
    owner(state, peer)?.capabilities.includes(capability) === true
  const dataPortsOf = (peer: PeerKey): HostPort[] =>
    dataPorts(mesh.remoteAddressOf(peer), owner(state, peer)?.dataAddresses ?? [])
  const helpersFor = (peer: PeerKey, capability: string): PeerKey[] =>
    knows(peer, capability)
      ? mesh.connected().filter(one => one !== peer && knows(one, capability) && dataPortsOf(one).length > 0)
      : []
  return {
    peer: mesh.peer,
    ask: (member: PeerKey, request: Uint8Array, signal: AbortSignal) =>
      mesh.request(member, ASK, request, { signal, maxResponseBytes: MAX_BYTES }),
    async invite(member: PeerKey, request: Uint8Array, signal: AbortSignal): Promise<void> {
      // To dial it would take longer than the requester waits.
      if (!mesh.isConnected(member)) {
        throw new WarrenError(ErrorCode.DestinationUnreachable, 'it is not connected with the other host')
      }
      await mesh.request(member, INVITE, request, { signal, maxResponseBytes: 0 })
    },
    seen: (member: PeerKey, request: Uint8Array, signal: AbortSignal) =>
      mesh.request(member, SEEN, request, { signal, maxResponseBytes: MAX_BYTES }),
    rendezvousFor: (peer: PeerKey) => helpersFor(peer, PUNCH_CAPABILITY),
    observersFor: (peer: PeerKey) => helpersFor(peer, PUNCH_DATAGRAMS_CAPABILITY),
    dataPortsOf,
    machineOf: (peer: PeerKey) => mesh.machineOf(peer) ?? peer
  }
}
