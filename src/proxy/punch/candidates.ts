import { BlockList, isIP } from 'node:net'
import type { HostPort } from '../../core/index.ts'
import { MIN_PUNCHED_PORT } from './limits.ts'

type Network = readonly [address: string, bits: number]

const NEVER = listOf(
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
  ['::', 96],
  ['fe80::', 10],
  ['ff00::', 8]
)
const PRIVATE = listOf(['10.0.0.0', 8], ['100.64.0.0', 10], ['172.16.0.0', 12], ['192.168.0.0', 16], ['fc00::', 7])
// Not in the list of networks: to the library, every IPv4 address is in this one.
const MAPPED = /^[0:]*:ffff:/i
/** Private addresses that share so many bits are taken for one network. */
const NETWORK_BITS = { 4: 16, 6: 48 } as const

/**
 * The reason why this host does not connect to an end that the member at `memberHost` has named, as a clause; undefined if it does.
 *
 * Such a host could name any address to have it connected to. Private ones are used only in the network where that member is itself,
 * and ports of well-known services never.
 */
export function whyNotPunched({ host, port }: HostPort, memberHost: string): string | undefined {
  const family = isIP(host)
  if ((family !== 4 && family !== 6) || isIP(memberHost) !== family) return 'the two hosts come from different families'
  if (port < MIN_PUNCHED_PORT) return `port ${port} is that of a well-known service`
  // A zone names an interface of this host.
  if (host.includes('%') || isIn(NEVER, host) || MAPPED.test(host)) return 'that is no address of another host'
  if (isPrivate(host) && !listOf([memberHost, NETWORK_BITS[family]]).check(host, nameOf(family))) {
    return 'that address is private, and of another network'
  }
  return undefined
}

/** Whether hosts of other networks cannot send to this address. */
export function isPrivate(host: string): boolean {
  return isIn(PRIVATE, host)
}

function listOf(...networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const [address, bits] of networks) list.addSubnet(address, bits, nameOf(isIP(address)))
  return list
}

function isIn(list: BlockList, host: string): boolean {
  return list.check(host, nameOf(isIP(host)))
}

function nameOf(family: number): 'ipv4' | 'ipv6' {
  return family === 6 ? 'ipv6' : 'ipv4'
}
