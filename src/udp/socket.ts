import type { Socket } from 'node:dgram'

/** Whether a bound or connected socket is an IPv6 socket. */
export function isIpv6(socket: Socket): boolean {
  try {
    return socket.address().family === 'IPv6'
  } catch {
    // It was closed since; it sends nothing any more.
    return false
  }
}
