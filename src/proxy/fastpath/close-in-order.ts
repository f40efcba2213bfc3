import type { Socket } from 'node:net'

/** For the other end to close as well; a slow link may still have a megabyte to carry. */
const FINISH_TIMEOUT_MS = 60_000

/**
 * Closes a connection both directions of which have ended. The end that connected it waits for the other one to close first, which
 * has all by then: a middlebox may drop what is under way when it sees the sender close.
 */
export function closeInOrder(socket: Socket, isFirst: boolean): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), FINISH_TIMEOUT_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  if (isFirst || socket.readableEnded) socket.end()
  else socket.once('end', () => socket.end())
  socket.resume()
}
