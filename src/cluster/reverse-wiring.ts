import { type HostPort, parseHostPort } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'
import { announcedMeshPorts } from './mesh-port.ts'

const PROTOCOL = '/warren/reverse/1'
/** 32 tokens. */
const REQUEST_BYTES = 1_024
const RESPONSE_BYTES = 1
/** Of one host that are dialled. It announces one for all of its addresses. */
const MAX_DATA_PORTS = 2

/** The part of the data plane that serves other members. */
export interface ReverseServer {
  readonly connectBack: (peer: PeerKey, request: Uint8Array) => number
}

/** Serves members that ask for connections to their data ports. Call it before the mesh starts. */
export function wireReverse(mesh: Mesh, { connectBack }: ReverseServer): void {
  mesh.handle(PROTOCOL, async (peer, request) => Uint8Array.of(connectBack(peer, request)), {
    maxRequestBytes: REQUEST_BYTES,
    maxResponseBytes: RESPONSE_BYTES
  })
}

/** The parts of the agent that reverse connections use. */
export function reverseParts(mesh: Mesh, state: RegistryState) {
  return {
    peer: mesh.peer,
    async ask(peer: PeerKey, tokens: Uint8Array, signal: AbortSignal): Promise<number> {
      const [accepted = 0] = await mesh.request(peer, PROTOCOL, tokens, { signal, maxResponseBytes: RESPONSE_BYTES })
      return accepted
    },
    // The data port first: the mesh port where that is all that can be reached.
    dataPortsOf(peer: PeerKey): HostPort[] {
      const proven = mesh.remoteAddressOf(peer)
      const ports = dataPorts(proven, owner(state, peer)?.dataAddresses ?? [])
      return [...ports.slice(0, MAX_DATA_PORTS), ...portsAt(proven, announcedMeshPorts(state, peer)).slice(0, 1)]
    }
  }
}

/**
 * The ports of a host that has proved its key at the address `proven`: that address, with the ports that the host announces
 * for it, else with all that it announces. An announced address alone is not enough: a host may announce that of another.
 */
function portsAt(proven: string | undefined, announced: readonly HostPort[]): HostPort[] {
  if (proven === undefined) return []
  const here = announced.filter(({ host }) => host === proven)
  const ports = (here.length > 0 ? here : announced).map(({ port }) => port)
  return [...new Set(ports)].map(port => ({ host: proven, port }))
}

/** The same for the data addresses of a head. */
export function dataPorts(proven: string | undefined, announced: readonly string[]): HostPort[] {
  return portsAt(proven, announced.flatMap(parsed))
}

function parsed(text: string): HostPort[] {
  try {
    const end = parseHostPort(text, { defaultHost: '' })
    return end.port === 0 ? [] : [end]
  } catch {
    // A malformed announcement is a fault of the other host.
    return []
  }
}
