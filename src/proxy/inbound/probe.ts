import { once } from 'node:events'
import type { Socket } from 'node:net'
import { raceAbort, within } from '../../core/index.ts'
import type { Target } from '../../workloads/index.ts'
import type { SocketCredentials } from '../deps.ts'
import { probeFrame } from '../hello.ts'
import { localHeader } from '../proxy-header.ts'
import { dialTarget } from './target.ts'

/** How long a server that was only looked at gets to close its side. */
const LEAVE_MS = 250

/**
 * Asks a target for a sign of life. `connect`: it takes a connection, as a flow would make
 * it, and sees its orderly end. `hello`: its program ends
 * one on which it is asked to. Rejects with DESTINATION_UNREACHABLE, or with the signal's reason.
 */
export async function probeTarget(
  target: Exclude<Target, { kind: 'udp' }>,
  how: 'connect' | 'hello',
  credentials: Pick<SocketCredentials, 'listenerOf'>,
  signal: AbortSignal
): Promise<void> {
  const socket = await dialTarget(target, credentials, signal)
  socket.on('error', () => {})
  try {
    if (how === 'hello') await answered(socket, signal)
    // With the header, so that a server that expects one does not log a broken one.
    else await leave(socket, target.proxy === true ? localHeader() : undefined, signal)
  } finally {
    socket.destroy()
  }
}

// A server that greets would be reset by a close that leaves its words unread, and log that.
async function leave(socket: Socket, header: Buffer | undefined, signal: AbortSignal): Promise<void> {
  const closed = once(socket, 'close').catch(() => {})
  socket.resume()
  if (header === undefined) socket.end()
  else socket.end(header)
  // That it took the connection is enough; how it ends says nothing about its health.
  await within(LEAVE_MS, [signal], limit => raceAbort(closed, limit)).catch(() => {})
}

async function answered(socket: Socket, signal: AbortSignal): Promise<void> {
  const ended = once(socket, 'end')
  socket.resume()
  socket.write(probeFrame())
  await raceAbort(ended, signal)
}
