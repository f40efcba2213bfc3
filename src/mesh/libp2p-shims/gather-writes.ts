import { Socket } from 'node:net'
import type { MessageStream } from '@libp2p/interface'

/**
 * Has what is written to a connection in one turn of the event loop leave together.
 *
 * libp2p writes each buffer by itself, and to noise a frame is two: a length and a text. So every frame of every stream
 * cost two calls of the system, two packets and their acknowledgements; most of what a mesh at rest did.
 */
export function gatherWrites(connection: MessageStream): void {
  // libp2p has no option for this. What is no connection of TCP is carried by one.
  const socket = 'socket' in connection ? connection.socket : undefined
  if (!(socket instanceof Socket)) return
  const write = socket.write.bind(socket)
  const gathered = (...args: Parameters<typeof write>): boolean => {
    if (socket.writableCorked === 0) {
      socket.cork()
      setImmediate(() => socket.uncork())
    }
    return write(...args)
  }
  Object.assign(socket, { write: gathered })
}
