import type { Socket } from 'node:dgram'

/** How a socket of IPv6 shows an address of IPv4. */
const MAPPED = /^::ffff:(?=\d+\.)/i

export function withoutMapping(address: string): string {
  return address.replace(MAPPED, '')
}

/** Whether a bound or connected socket is one of IPv6. */
export function isIpv6(socket: Socket): boolean {
  try {
    return socket.address().family === 'IPv6'
  } catch {
    // Closed since; it sends nothing any more.
    return false
  }
}
