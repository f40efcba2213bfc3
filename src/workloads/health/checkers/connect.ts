import { once } from 'node:events'
import type { Socket } from 'node:net'
import { raceAbort, within } from '../../../core/index.ts'
import type { Checker } from './checker.ts'

/** How long a server gets to close its side after a check, in milliseconds. */
const LEAVE_MS = 250

/** What the header of a check has in the place of the identifier of a flow. */
const CHECK_FLOW_ID = 'health-check'

/** The server takes a connection, as a flow would make it, and sees its orderly end. */
export const connect: Checker = {
  name: 'connect',
  canCheck: target => target.kind === 'tcp' || target.kind === 'unix' || (target.kind === 'listen' && !target.hello),
  // A program that binds a socket of the agent's making has not said yet that it accepts connections that carry nothing.
  isDefault: target => target.kind !== 'listen',
  async check({ target, spiffeId }, { dial, headerFor }, signal) {
    if (target.kind === 'udp') return
    const socket = await dial(target, signal)
    socket.on('error', () => {})
    try {
      // With the header of a flow: the command LOCAL would pass where each flow is refused. The source is the server itself.
      await leave(socket, headerFor(socket, target, { spiffeId, flowId: CHECK_FLOW_ID }), signal)
    } finally {
      socket.destroy()
    }
  }
}

// A server that greets would be reset by a close that leaves its words unread, and log that.
async function leave(socket: Socket, header: Buffer | undefined, signal: AbortSignal): Promise<void> {
  const closed = once(socket, 'close').catch(() => {})
  socket.resume()
  if (header === undefined) socket.end()
  else socket.end(header)
  // The server took the connection, which is enough; how the connection ends says nothing about health.
  await within(LEAVE_MS, [signal], limit => raceAbort(closed, limit)).catch(() => {})
}
