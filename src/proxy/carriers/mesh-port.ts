import { ErrorCode, formatHostPort, type HostPort, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'
import { AddressDialler, type LocalAddresses } from './address-dialler.ts'
import type { Carrier, Path } from './carrier.ts'
import { type IdentifyDeps, identify } from './identify.ts'

/** How many addresses are probed. */
const MAX_PROBED = 4

/** A TCP connection to the mesh port of the other agent, which recognises it by its first byte. */
export const MESH_PORT_PATH: Path = Object.freeze({
  name: 'mesh-port',
  allows: Object.freeze({ fastPath: true, datagrams: false, identification: true, unauthenticated: false })
})

export interface MeshPortCarrierDeps extends IdentifyDeps, LocalAddresses {
  /** Where the mesh port of an agent is, best first. Empty if it accepts no sessions there. */
  readonly meshPortsOf: (peer: PeerKey) => readonly HostPort[]
  /** Whether the mesh connection with that agent is one that it has dialled, and not this one. */
  readonly isDialledBy: (peer: PeerKey) => boolean
}

/**
 * Dials the mesh port of the other agent, where its data port cannot be reached. From the first byte on everything is as on a
 * direct connection.
 *
 * Of an agent that has dialled this one it is not known whether its own port can be reached; and it can dial back.
 */
export function meshPort(deps: MeshPortCarrierDeps): Carrier {
  const { meshPortsOf, isDialledBy } = deps
  const dialler = new AddressDialler(deps)
  const addressesOf = (peer: PeerKey): string[] => meshPortsOf(peer).map(formatHostPort)
  const likelyOf = (peer: PeerKey): string[] => (isDialledBy(peer) ? [] : addressesOf(peer))
  return {
    name: MESH_PORT_PATH.name,
    rank: 1,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: MESH_PORT_PATH.allows,
    canReach: ({ peer }) => likelyOf(peer).length > 0,
    avoid: ({ peer }, made) => dialler.avoid(peer, addressesOf(peer), made),
    probedIf: 'only worse ones reach',
    probes: agent =>
      likelyOf(agent.peer)
        .slice(0, MAX_PROBED)
        .map(address => ({
          address,
          run: signal => identify(address, agent, deps, signal).then(() => MESH_PORT_PATH.name)
        })),
    async dial({ peer }, options, signal) {
      const addresses = addressesOf(peer)
      if (addresses.length === 0)
        throw new WarrenError(ErrorCode.DestinationUnreachable, 'its agent accepts no sessions at its mesh port')
      return { ...(await dialler.dial(peer, addresses, options, signal)), path: MESH_PORT_PATH }
    }
  }
}
