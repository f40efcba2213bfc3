import { CHECK_FLOW_ID, type Checker, takesStreams } from './checker.ts'
import { leave } from './leave.ts'

/** The server takes a connection, as a flow would make it, and sees its orderly end. */
export const connect: Checker = {
  name: 'connect',
  canCheck: takesStreams,
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
