import type { Socket } from 'node:net'
import { peekFirstByte, type UnprovenPlace } from '../../core/index.ts'
import type { HandshakeLimiter } from '../handshake-limiter.ts'

/**
 * Calls back with the first byte that a new connection sends, which is not consumed, and with its place in `limiter`, which the
 * callee keeps; the callback receives the socket paused. A connection that sends nothing in time is closed.
 */
export function firstByte(
  socket: Socket,
  limiter: HandshakeLimiter,
  callback: (byte: number, place: UnprovenPlace) => void
): void {
  socket.on('error', () => {})
  const place = limiter.enter(socket)
  peekFirstByte(socket, byte => {
    place.heard()
    callback(byte, place)
  })
}
