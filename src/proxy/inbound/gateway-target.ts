import { BlockList, isIP, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import {
  connectTcp,
  DIAL_STAGGER_MS,
  ErrorCode,
  type HostPort,
  lazy,
  raceStaggered,
  resolveHost,
  WarrenError
} from '../../core/index.ts'
import { TARGET_KEEPALIVE_MS } from '../timing.ts'

export interface GatewayIo {
  /** The addresses of a name. @default those that the system's resolver says */
  readonly resolve?: typeof resolveHost
}

/**
 * Connects to the server of another host, for which a registration stands. The socket is half-open and paused.
 *
 * The name is looked up each time, and whoever answers for it must not choose a server of this host: addresses of this host, of the
 * loopback and of a link are left out. Rejects with DESTINATION_UNREACHABLE if no other is left, or as the connection does.
 */
export async function dialGateway(
  { host, port }: HostPort,
  signal: AbortSignal,
  { resolve = resolveHost }: GatewayIo = {}
): Promise<Socket> {
  const found = await resolve(host, signal)
  const addresses = found.filter(address => isElsewhere(address))
  if (found.length > 0 && addresses.length === 0) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'the name of its server leads to this host or to a link')
  }
  const common = {
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TARGET_KEEPALIVE_MS
  }
  const attempts = addresses.map(address => (limit: AbortSignal) => connectTcp({ ...common, host: address }, limit))
  const socket = await raceStaggered(attempts, DIAL_STAGGER_MS, signal, late => late.destroy())
  // Until the flow is carried, no other code handles its failure.
  socket.on('error', () => {})
  socket.pause()
  return socket
}

/** Whether an address is that of another host which a network leads to: not of this host, a link, a group or nobody. */
export function isElsewhere(address: string): boolean {
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  // An address of IPv4 in one of IPv6 leads to the same host.
  return !hereOrNear().check(address, kind) && !ownAddresses().check(address, kind)
}

const hereOrNear = lazy(() => {
  const list = new BlockList()
  for (const [network, bits] of [
    ['0.0.0.0', 8],
    ['127.0.0.0', 8],
    // Of a link; what clouds tell the machines that they run is there, too.
    ['169.254.0.0', 16],
    ['224.0.0.0', 3]
  ] as const) {
    list.addSubnet(network, bits, 'ipv4')
    // The same, as a translator of IPv6 (NAT64) writes it.
    list.addSubnet(`64:ff9b::${network}`, 96 + bits, 'ipv6')
  }
  for (const [network, bits] of [
    ['::', 96],
    ['2002::', 16],
    ['fd00:ec2::', 32],
    ['fe80::', 10],
    ['fec0::', 10],
    ['ff00::', 8]
  ] as const) {
    list.addSubnet(network, bits, 'ipv6')
  }
  return list
})

function ownAddresses(): BlockList {
  const own = new BlockList()
  for (const { address, family } of Object.values(networkInterfaces()).flatMap(list => list ?? [])) {
    own.addAddress(address, family === 'IPv4' ? 'ipv4' : 'ipv6')
  }
  return own
}
