import { ErrorCode, WarrenError } from '../../../src/core/index.ts'
import type { Host, HostOptions, World } from './world.ts'

/** Addresses that refuse. */
export const DEAD = ['127.0.0.1:1']

/**
 * The ways from one agent to another. NAT: the near one cannot dial the far one, whose connection to it the mesh has, and which is of a
 * version that does not dial back.
 */
export const CARRIERS = ['direct', 'reverse', 'mesh', 'relay', 'NAT'] as const
export type CarrierCase = (typeof CARRIERS)[number]

/** What flows over a way are shown with. */
export const SHOWN: Readonly<Record<CarrierCase, string>> = {
  direct: 'direct',
  reverse: 'reverse',
  mesh: 'mesh',
  relay: 'relay via gamma',
  NAT: 'mesh'
}

/** Two hosts, alpha and beta, of which the first reaches the other in that way only. */
export async function hostsJoinedBy(
  world: World,
  carrier: CarrierCase,
  more: HostOptions = {}
): Promise<readonly [near: Host, far: Host]> {
  const options = { ...more, carrier: carrier === 'NAT' ? 'auto' : carrier } as const
  const [near, far] = [await world.host('alpha', options), await world.host('beta', options)]
  if (carrier === 'NAT') far.dataAddresses = DEAD
  if (carrier === 'reverse') dialsBack(far, near)
  if (carrier === 'relay') relayBy(near, far, 'gamma', near.openStream)
  return [near, far]
}

export function unreachable(): Promise<never> {
  return Promise.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'no way'))
}

/** Has `far` dial `near` when it asks for that. */
export function dialsBack(far: Host, near: Host): void {
  far.dataPortsOf = () => [near.proxy.dataAddress()]
}

/** Has `near` reach `far` through a third machine of this name. */
export function relayBy(near: Host, far: Host, via: string, stream: Host['openStream']): void {
  const accept = far.proxy.acceptCarrier
  near.openRelayed = async peer => {
    // What arrives at the far end is told who relays it, as the mesh tells it.
    Object.assign(far.proxy, { acceptCarrier: (duplex: never, from: never) => accept(duplex, from, via) })
    try {
      return { stream: await stream(peer), via }
    } finally {
      Object.assign(far.proxy, { acceptCarrier: accept })
    }
  }
}
