import type { Socket } from 'node:dgram'

/** Form of an IPv4 address on an IPv6 socket. */
const MAPPED = /^::ffff:(?=\d+\.)/i

export function withoutMapping(address: string): string {
  return address.replace(MAPPED, '')
}

/** Whether a bound or connected socket is an IPv6 socket. */
export function isIpv6(socket: Socket): boolean {
  try {
    return socket.address().family === 'IPv6'
  } catch {
    // It was closed since; it sends nothing any more.
    return false
  }
}
