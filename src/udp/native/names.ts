import { isIP, SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import { withoutMapping } from '../../core/index.ts'
import type { Remote } from '../endpoint.ts'

// include/linux/socket.h, include/uapi/linux/in6.h
const AF_INET = 2
const AF_INET6 = 10
const NAME4_BYTES = 16
const NAME6_BYTES = 28

/** Encodes `remote` as `struct sockaddr_in`, or `_in6` for an IPv6 socket; undefined if that is not possible. */
export function encodeName({ address, port }: Remote, is6: boolean): Buffer | undefined {
  const version = isIP(address)
  const [text = '', zone] = address.split('%')
  const scope = zone === undefined ? 0 : scopeOf(zone)
  if (version === 0 || scope === undefined || (version === 6 && !is6)) return undefined
  const name = Buffer.alloc(is6 ? NAME6_BYTES : NAME4_BYTES)
  name.writeUInt16LE(is6 ? AF_INET6 : AF_INET, 0)
  name.writeUInt16BE(port, 2)
  if (is6) {
    writeGroups(name.subarray(8, 24), version === 4 ? `::ffff:${text}` : text)
    name.writeUInt32LE(scope, 24)
  } else name.set(text.split('.').map(Number), 4)
  return name
}

/** Decodes a name that the kernel wrote; undefined unless it is a UDP address. */
export function decodeName(name: Buffer): Remote | undefined {
  const port = name.readUInt16BE(2)
  switch (name.readUInt16LE(0)) {
    case AF_INET:
      return { address: name.subarray(4, 8).join('.'), port }
    case AF_INET6: {
      const groups = Array.from({ length: 8 }, (_, index) => name.readUInt16BE(8 + 2 * index).toString(16))
      const { address } = new SocketAddress({ address: groups.join(':'), family: 'ipv6' })
      const zone = zoneOf(name.readUInt32LE(24))
      return { address: zone === undefined ? withoutMapping(address) : `${address}%${zone}`, port }
    }
    default:
      return undefined
  }
}

function writeGroups(bytes: Buffer, text: string): void {
  const [front = '', back = ''] = text.split('::')
  const tail = groupsOf(back)
  for (const [index, group] of groupsOf(front).entries()) bytes.writeUInt16BE(group, 2 * index)
  for (const [index, group] of tail.entries()) bytes.writeUInt16BE(group, 16 - 2 * (tail.length - index))
}

/** Returns the numbers in a text such as `1:2ab:1.2.3.4`. */
function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap(group => {
    const [a = 0, b = 0, c = 0, d] = group.split('.').map(Number)
    return d === undefined ? [Number.parseInt(group, 16)] : [a * 256 + b, c * 256 + d]
  })
}

function scopeOf(zone: string): number | undefined {
  const all = networkInterfaces()
  // Any other name is one of the object itself, as `constructor`.
  if (!Object.hasOwn(all, zone)) return undefined
  return all[zone]?.find(({ scopeid }) => scopeid !== undefined && scopeid > 0)?.scopeid
}

function zoneOf(scope: number): string | undefined {
  if (scope === 0) return undefined
  return Object.entries(networkInterfaces()).find(([, all]) => all?.some(({ scopeid }) => scopeid === scope))?.[0]
}
