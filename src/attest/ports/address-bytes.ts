import { isIP } from 'node:net'

/** A literal address in network order: 4 bytes, or 16 for IPv6, in which one of IPv4 is mapped. Throws RangeError. */
export function addressBytes(address: string, is6: boolean): Buffer {
  const version = isIP(address)
  if (version === 4 && !is6) return Buffer.from(address.split('.').map(Number))
  // A scope names an interface, and is no part of the address.
  const [literal = ''] = address.split('%')
  if (version === 0 || !is6) throw new RangeError(`"${address.slice(0, 80)}" is no address of the family`)
  const bytes = Buffer.alloc(16)
  const [front = '', back = ''] = (version === 4 ? `::ffff:${literal}` : literal).split('::')
  const tail = groupsOf(back)
  groupsOf(front).forEach((group, index) => void bytes.writeUInt16BE(group, 2 * index))
  tail.forEach((group, index) => void bytes.writeUInt16BE(group, 16 - 2 * (tail.length - index)))
  return bytes
}

/** The numbers in `1:2ab:1.2.3.4`. */
function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap(group => {
    const [a = 0, b = 0, c = 0, d] = group.split('.').map(Number)
    return d === undefined ? [Number.parseInt(group, 16)] : [a * 256 + b, c * 256 + d]
  })
}
