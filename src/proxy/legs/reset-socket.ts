import type { Socket } from 'node:net'
import { setSocketOption } from '../socket-option.ts'

// sys/socket.h of each system.
const [SOL_SOCKET, SO_LINGER] = process.platform === 'linux' ? [1, 13] : [0xffff, 0x80]

/**
 * Closes a TCP connection at once, so that the other end gets a reset and never an end. Throws nothing.
 *
 * `resetAndDestroy` does not suffice: if the end of a socket waits behind data that its other end does not read, Node
 * drops the handle without closing it. The connection then stays for ever, and keeps the process from exiting.
 */
export function resetSocket(socket: Socket): void {
  // A socket that is not connected yet has no other end to mislead.
  setSocketOption(socket, SOL_SOCKET, SO_LINGER, 1, 0)
  socket.destroy()
}

/**
 * Makes every close of a TCP connection a reset, that of a killed process as well, or makes it an end again. Has no
 * effect on a unix socket. Throws nothing.
 */
export function resetOnClose(socket: Socket, reset: boolean): void {
  // A linger time of zero means a reset.
  if (socket.remoteAddress !== undefined) setSocketOption(socket, SOL_SOCKET, SO_LINGER, reset ? 1 : 0, 0)
}
