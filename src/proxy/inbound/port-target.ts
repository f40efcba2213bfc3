import type { Socket as UdpSocket } from 'node:dgram'
import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PortServer, Target } from '../../workloads/index.ts'
import { PortGuard } from '../datagram/index.ts'

/** Attempts while the listener is replaced, as by a restart. */
export const MAX_SWITCHES = 3

/**
 * Verdict on a connection: it is `proven`, another listener took its place, it ends `elsewhere` than at a socket of
 * this host, or it was reset.
 */
type PortFinding = 'proven' | 'switched' | 'elsewhere' | 'reset'

/**
 * Returns the connection that `dial` makes, if it leads to a server that may have the port of `target`; closes it
 * otherwise, before a byte is written.
 *
 * The same listener must be there before and after, so that no other process takes the port in between. The connection
 * must also end at the address that it was made to: beside a live listener, address translation may lead it to another
 * server. Rejects with DESTINATION_UNREACHABLE, or as `dial` does.
 */
export async function throughPort(
  target: Exclude<Target, { kind: 'udp' }>,
  dial: () => Promise<Socket>
): Promise<Socket> {
  const server = target.kind === 'tcp' ? target.server : undefined
  if (server === undefined) return await dial()
  let finding: PortFinding = 'switched'
  for (let attempt = 0; attempt < MAX_SWITCHES; attempt += 1) {
    const before = server.holder()
    const socket = await dial()
    finding = findingOf(server, before, socket)
    if (finding === 'proven') return socket
    socket.destroy()
    // Told as the failure of any other connection: a server that hangs up is not one that is somewhere else.
    if (finding === 'reset') throw Object.assign(new Error('reset when it was connected'), { code: 'ECONNRESET' })
  }
  // Not said the first time: the kernel may have been asked while it put the connection in the place of its request.
  if (finding === 'elsewhere') throw server.bypassed()
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'the listener of its port changes again and again')
}

function findingOf(server: PortServer, before: bigint | undefined, socket: Socket): PortFinding {
  try {
    const after = server.holder()
    if (after === undefined && before === undefined) throw server.hidden()
    return after !== undefined && after === before ? endOf(server, socket) : 'switched'
  } catch (err) {
    socket.destroy()
    throw err
  }
}

/** Where the connection of `socket` ends. */
function endOf(server: PortServer, socket: Socket): PortFinding {
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  // A socket that was reset has no peer any more.
  if (localAddress === undefined || localPort === undefined) return 'reset'
  if (remoteAddress === undefined || remotePort === undefined) return 'reset'
  const [ours, theirs] = [
    { host: localAddress, port: localPort },
    { host: remoteAddress, port: remotePort }
  ]
  if (server.meets(ours, theirs)) return 'proven'
  // Our own end has closed as well: nothing can be sent, and received data must not be trusted.
  return server.meets(theirs, ours) ? 'elsewhere' : 'reset'
}

/**
 * Guards the datagrams of one flow through the connected `socket`; undefined if no check is needed. Checks once at the
 * start: throws DESTINATION_UNREACHABLE, and closes the socket, if another user has the port.
 */
export function guardOf(
  { server }: Extract<Target, { kind: 'udp' }>,
  socket: UdpSocket,
  nowMs: () => number
): PortGuard | undefined {
  if (server === undefined) return undefined
  try {
    const { address, port } = socket.address()
    const guard = new PortGuard(server, { host: address, port }, nowMs)
    const verdict = guard.verdict()
    if (verdict instanceof WarrenError) throw verdict
    return guard
  } catch (err) {
    socket.close()
    throw err
  }
}
