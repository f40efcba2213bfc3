import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'

/** The capability of a host that relays TCP connections, and takes such connections. */
export const RELAY_CAPABILITY = 'relay-connections'

/** To a relay; and from a relay to the wanted host. */
const JOIN = '/warren/join-connections/1'
const JOINED = '/warren/joined-connections/1'
/** A key, and 32 tokens. */
const REQUEST_BYTES = 32 + 1_024
const RESPONSE_BYTES = 1

/** The part of the data plane that serves members that relay, or ask for it. */
export interface RelayEnds {
  readonly relay: (opener: PeerKey, request: Uint8Array) => Promise<number>
  readonly connectToRelay: (relay: PeerKey, request: Uint8Array) => number
}

/** Serves members that ask this host to relay connections, or to dial a relay. Call it before the mesh starts. */
export function wireRelays(mesh: Mesh, { relay, connectToRelay }: RelayEnds): void {
  const bounds = { maxRequestBytes: REQUEST_BYTES, maxResponseBytes: RESPONSE_BYTES }
  mesh.handle(JOIN, async (opener, request) => Uint8Array.of(await relay(opener, request)), bounds)
  mesh.handle(JOINED, async (via, request) => Uint8Array.of(connectToRelay(via, request)), bounds)
}

/** The parts of the agent that relayed connections use. */
export function relayParts(mesh: Mesh, state: RegistryState) {
  const can = (peer: PeerKey): boolean => owner(state, peer)?.capabilities.includes(RELAY_CAPABILITY) === true
  const ask = async (protocol: typeof JOIN | typeof JOINED, to: PeerKey, request: Uint8Array, signal: AbortSignal) => {
    const [accepted = 0] = await mesh.request(to, protocol, request, { signal, maxResponseBytes: RESPONSE_BYTES })
    return accepted
  }
  return {
    relaysTo: (wanted: PeerKey): PeerKey[] =>
      can(wanted) ? shuffled(mesh.connected().filter(peer => peer !== wanted && can(peer))) : [],
    takesJoined: can,
    machineOf: (peer: PeerKey): string => owner(state, peer)?.machine ?? mesh.machineOf(peer) ?? peer,
    askRelay: (relay: PeerKey, request: Uint8Array, signal: AbortSignal) => ask(JOIN, relay, request, signal),
    askWanted: (wanted: PeerKey, request: Uint8Array, signal: AbortSignal) => ask(JOINED, wanted, request, signal)
  }
}

function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map(one => ({ one, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one)
}
