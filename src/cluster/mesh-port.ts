import { networkInterfaces } from 'node:os'
import type { HostPort } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { type Mesh, meshEnd } from '../mesh/index.ts'
import { owner, type RegistryState } from '../registry/index.ts'
import { outsideAddresses } from './addresses/reachable.ts'

/** The capability of a host that accepts sessions at its mesh port as at its data port. */
export const MESH_PORT_CAPABILITY = 'mesh-port'

/** The parts of the agent that sessions over mesh ports use. */
export function meshPortParts(mesh: Pick<Mesh, 'dialledAt' | 'isConnected' | 'checkConnection'>, state: RegistryState) {
  return {
    /** Where the mesh port of a host is: where this host has reached it, else what the host announces. */
    meshPortsOf(peer: PeerKey): readonly HostPort[] {
      const announced = announcedMeshPorts(state, peer)
      const dialled = mesh.dialledAt(peer)
      return announced.length === 0 || dialled === undefined ? announced : [dialled]
    },
    /** Whether the open connection of the mesh is one that the other host has dialled. */
    isDialledBy: (peer: PeerKey): boolean => mesh.isConnected(peer) && mesh.dialledAt(peer) === undefined,
    localAddresses: (): readonly string[] => outsideAddresses(networkInterfaces()),
    /** The connection of the mesh most likely takes the same link. */
    pathLeft: (peer: PeerKey): void => mesh.checkConnection(peer)
  }
}

/** The mesh ports that a host announces, in its order. Empty unless it accepts sessions there. */
export function announcedMeshPorts(state: RegistryState, peer: PeerKey): HostPort[] {
  const { capabilities = [], meshAddresses = [] } = owner(state, peer) ?? {}
  return capabilities.includes(MESH_PORT_CAPABILITY) ? meshAddresses.flatMap(parsed) : []
}

function parsed(text: string): HostPort[] {
  try {
    return [meshEnd(text)]
  } catch {
    // A malformed announcement is a fault of the other host.
    return []
  }
}
