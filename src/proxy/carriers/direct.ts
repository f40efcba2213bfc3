import { DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'
import { AddressDialler, type LocalAddresses } from './address-dialler.ts'
import type { Carrier, Path } from './carrier.ts'
import { type IdentifyDeps, identify } from './identify.ts'

/** How many addresses are probed. */
const MAX_PROBED = 4

/** A TCP connection to the data port of the other agent. */
export const DIRECT_PATH: Path = Object.freeze({
  name: 'direct',
  allows: Object.freeze({ fastPath: true, datagrams: true, identification: true, unauthenticated: true })
})

/** Dials the data addresses that the other agent announces. */
export function direct(deps: IdentifyDeps & LocalAddresses): Carrier {
  const dialler = new AddressDialler(deps)
  return {
    name: DIRECT_PATH.name,
    rank: 0,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: DIRECT_PATH.allows,
    canReach: ({ dataAddresses }) => dataAddresses.length > 0,
    avoid: ({ peer, dataAddresses }, made) => dialler.avoid(peer, dataAddresses, made),
    probedIf: 'always',
    probes: agent =>
      agent.dataAddresses.slice(0, MAX_PROBED).map(address => ({
        address,
        run: signal => identify(address, agent, deps, signal).then(() => DIRECT_PATH.name)
      })),
    dial: async ({ peer, dataAddresses }, options, signal) => ({
      ...(await dialler.dial(peer, dataAddresses, options, signal)),
      path: DIRECT_PATH
    })
  }
}
