import type { Socket } from 'node:net'

/** Time for the other end to close as well; a slow link may still have a megabyte to carry. */
const FINISH_TIMEOUT_MS = 60_000

/** Calls back when the connection has ended or failed, perhaps more than once. */
export function whenLost(socket: Socket, lost: (err: Error) => void): void {
  let failure: Error | undefined
  socket.on('error', err => {
    failure = err
  })
  socket.once('end', () => lost(new Error('the connection beside the session ended')))
  socket.once('close', () => lost(failure ?? new Error('the connection beside the session was lost')))
}

/**
 * Closes a connection after both directions have ended. The end that connected waits for the other one to close first,
 * which has received everything by then: a middlebox may drop data in transit when it sees the sender close.
 */
export function closeInOrder(socket: Socket, isFirst: boolean): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), FINISH_TIMEOUT_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  if (isFirst || socket.readableEnded) socket.end()
  else socket.once('end', () => socket.end())
  socket.resume()
}
