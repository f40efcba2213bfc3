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
  // A linger time of zero means a reset. A socket that is not connected yet has no other end to mislead.
  setSocketOption(socket, SOL_SOCKET, SO_LINGER, 1, 0)
  socket.destroy()
}
