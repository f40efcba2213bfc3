import { BlockList, isIP } from 'node:net'
import { lazy } from '../../core/index.ts'

// Made when it is used, not at each start: an object of native code.
function listOf(...networks: ReadonlyArray<readonly [address: string, bits: number]>): () => BlockList {
  return lazy(() => {
    const list = new BlockList()
    for (const [address, bits] of networks) list.addSubnet(address, bits, isIP(address) === 6 ? 'ipv6' : 'ipv4')
    return list
  })
}

const LINK_LOCAL = listOf(['169.254.0.0', 16], ['fe80::', 10])

const MAPPED = /^[0:]*:ffff:/i

/** Networks at which no other host can reach a host, and the reason, as the end of a sentence. */
const NOWHERE = [
  [listOf(['0.0.0.0', 8], ['::', 128]), 'is not an address of a host'],
  [listOf(['224.0.0.0', 4], ['ff00::', 8]), 'is a multicast address'],
  [listOf(['240.0.0.0', 4]), 'is reserved'],
  [listOf(['fe80::', 10]), 'is not usable without an interface']
] as const

/** Whether an IP address is valid on one link only. */
export function isLinkLocal(address: string): boolean {
  return isIn(LINK_LOCAL, address)
}

/** The reason why no host can be reached at this IP address, as the end of a sentence; undefined if it can. */
export function whyUnroutable(address: string): string | undefined {
  // Not in the list of networks: to the library, every IPv4 address is in this one.
  if (isIP(address) === 6 && MAPPED.test(address)) return 'is an IPv4 address written as an IPv6 one'
  return NOWHERE.find(([list]) => isIn(list, address))?.[1]
}

function isIn(list: () => BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && list().check(address, family === 6 ? 'ipv6' : 'ipv4')
}
