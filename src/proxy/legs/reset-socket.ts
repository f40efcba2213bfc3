import type { Socket } from 'node:net'
import { setSocketOption } from '../socket-option.ts'

// sys/socket.h of each system.
const [SOL_SOCKET, SO_LINGER] = process.platform === 'linux' ? [1, 13] : [0xffff, 0x80]

/**
 * Closes a connection of TCP at once, so that the other end gets a reset and never an end. Throws nothing.
 *
 * Not by `resetAndDestroy`: of a socket whose end waits behind what its other end does not read, Node gives up the handle without
 * closing it. The connection then stays for ever, and so does the process when it is to end.
 */
export function resetSocket(socket: Socket): void {
  // Lingering for no time means a reset. One that is not connected yet has nobody to whom an end could look like one.
  setSocketOption(socket, SOL_SOCKET, SO_LINGER, 1, 0)
  socket.destroy()
}
