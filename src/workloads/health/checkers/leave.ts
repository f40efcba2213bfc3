import { once } from 'node:events'
import type { Socket } from 'node:net'
import { raceAbort, within } from '../../../core/index.ts'

/** How long a server gets to close its side after a check, in milliseconds. */
const LEAVE_MS = 250

/** Ends a connection in order, after `last` if there is some. Resolves once the server has closed its side, or after 250 ms. */
export async function leave(socket: Socket, last: Buffer | undefined, signal: AbortSignal): Promise<void> {
  const closed = once(socket, 'close').catch(() => {})
  // A server that greets would be reset by a close that leaves its words unread, and log that.
  socket.resume()
  if (last === undefined) socket.end()
  else socket.end(last)
  // The server took the connection, which is enough; how the connection ends says nothing about health.
  await within(LEAVE_MS, [signal], limit => raceAbort(closed, limit)).catch(() => {})
}
