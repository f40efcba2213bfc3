import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { ErrorCode, type HostPort, peekFirstByte, WarrenError } from '../../../src/core/index.ts'
import type { Host, HostOptions, World } from './world.ts'

/** Addresses that refuse. */
export const DEAD = ['127.0.0.1:1']

/**
 * The ways from one agent to another. NAT: the near one cannot dial the far one, whose connection to it the mesh has, and which is of a
 * version that does not dial back. Relays pass on a stream, or join connections.
 */
export const CARRIERS = ['direct', 'mesh-port', 'reverse', 'mesh', 'relay', 'joined', 'NAT'] as const
export type CarrierCase = (typeof CARRIERS)[number]

/** What flows over a way are shown with. */
export const SHOWN: Readonly<Record<CarrierCase, string>> = {
  direct: 'direct',
  'mesh-port': 'mesh-port',
  reverse: 'reverse',
  mesh: 'mesh',
  relay: 'relay via gamma',
  joined: 'relay via gamma',
  NAT: 'mesh'
}

/** Two hosts, alpha and beta, of which the first reaches the other in that way only. */
export async function hostsJoinedBy(
  world: World,
  carrier: CarrierCase,
  more: HostOptions = {}
): Promise<readonly [near: Host, far: Host]> {
  const options = { ...more, carrier: carrier === 'NAT' ? 'auto' : carrier === 'joined' ? 'relay' : carrier } as const
  const [near, far] = [await world.host('alpha', options), await world.host('beta', options)]
  if (carrier === 'NAT') far.dataAddresses = DEAD
  if (carrier === 'mesh-port') await reachesMeshPort(near, far)
  if (carrier === 'reverse') dialsBack(far, near)
  if (carrier === 'joined') joinedBy(near, far, await world.host('gamma', options))
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

/** Has `near` reach the mesh port of `far`, at which nothing but its data plane listens here. Returns the port. */
export async function reachesMeshPort(near: Host, far: Host): Promise<HostPort> {
  const { takes, serve } = far.proxy.atMeshPort
  const server = createServer(socket => {
    socket.on('error', () => {})
    peekFirstByte(socket, byte => (takes(byte) ? serve(socket, byte) : socket.destroy()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  far.world.defer(() => void server.close())
  const end = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  near.meshPortsOf = () => [end]
  return end
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

/** Has `near` reach `far` through TCP connections that `relay` joins. */
export function joinedBy(near: Host, far: Host, relay: Host): void {
  near.relaysTo = () => [relay.node.peer]
  for (const host of [near, far]) host.dataPortsOf = () => [relay.proxy.dataAddress()]
}
