import type { Socket } from 'node:net'

/**
 * Calls back with the first byte that a new connection receives, which is not consumed; the callback receives the socket paused.
 * The caller bounds the time. The returned function stops the wait.
 */
export function peekFirstByte(socket: Socket, callback: (byte: number) => void): () => void {
  const look = (): void => {
    const chunk: Buffer | null = socket.read()
    const byte = chunk?.[0]
    if (chunk === null || byte === undefined) return
    socket.off('readable', look)
    socket.unshift(chunk)
    callback(byte)
  }
  socket.on('readable', look)
  return () => socket.off('readable', look)
}
