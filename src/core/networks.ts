import { BlockList, isIP } from 'node:net'
import { ErrorCode, WarrenError } from './errors.ts'

/** The most networks of one grant. */
export const MAX_NETWORKS = 16

/** Checks networks: addresses, or addresses with the length of their prefix. Throws INVALID_ARGUMENT. */
export function parseNetworks(texts: readonly string[]): readonly string[] {
  if (texts.length > MAX_NETWORKS) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--from may be given ${MAX_NETWORKS} times at most`)
  }
  listOf(texts)
  return texts
}

/** Whether an address is in one of the networks; every address is in an empty list. */
export function isWithin(networks: readonly string[], address: string): boolean {
  if (networks.length === 0) return true
  const family = isIP(address)
  return family !== 0 && listOf(networks).check(address, family === 4 ? 'ipv4' : 'ipv6')
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', length, more] = network.split('/')
    const family = isIP(address)
    const bits = length === undefined ? (family === 4 ? 32 : 128) : /^\d{1,3}$/.test(length) ? Number(length) : -1
    if (family === 0 || more !== undefined || bits < 0 || bits > (family === 4 ? 32 : 128) || address.includes('%')) {
      throw new WarrenError(ErrorCode.InvalidArgument, `--from "${network.slice(0, 80)}" is no network`, {
        hint: 'Write an address, or an address and the length of its prefix, as in 10.1.0.0/16 or 2001:db8::/32.'
      })
    }
    list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}
