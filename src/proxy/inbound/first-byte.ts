import type { Socket } from 'node:net'
import type { HandshakeLimiter } from '../handshake-limiter.ts'
import { HANDSHAKE_TIMEOUT_MS } from '../timing.ts'

/**
 * Calls back with the first byte that a new connection sends, which is not consumed; the callback receives the socket
 * paused. Closes a connection that sends nothing in time, or exceeds the limits of `limiter` meanwhile.
 */
export function firstByte(
  socket: Socket,
  remote: string,
  limiter: HandshakeLimiter,
  callback: (byte: number) => void
): void {
  socket.on('error', () => {})
  const place = limiter.enter(socket, remote)
  if (place === undefined) {
    socket.destroy()
    return
  }
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(timer))
  const look = (): void => {
    const chunk: Buffer | null = socket.read()
    const byte = chunk?.[0]
    if (chunk === null || byte === undefined) return
    socket.off('readable', look)
    socket.unshift(chunk)
    clearTimeout(timer)
    place.release()
    callback(byte)
  }
  socket.on('readable', look)
}
