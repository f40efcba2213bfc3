import type { Socket as UdpSocket } from 'node:dgram'
import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { PortGuard } from '../datagram/index.ts'
import type { LocalTarget, PortServer } from '../deps.ts'

/** Connects to a listener that is replaced meanwhile, as by a restart, before it is given up. */
export const MAX_SWITCHES = 3

/**
 * What became of a connection: it is `proven`, another listener took its place, it ends `elsewhere` than at a socket of this
 * host, or it is over.
 */
type Verdict = 'proven' | 'switched' | 'elsewhere' | 'reset'

/**
 * The connection that `dial` makes, if it leads to a server that may have the port of `target`; it is closed, without a byte
 * written, if not.
 *
 * The same listener must be there before and after: so nobody takes the port in between. And the connection must end where
 * it was made to: beside a listener that lives, address translation may lead it to another server. Rejects with
 * DESTINATION_UNREACHABLE, or as `dial` does.
 */
export async function throughPort(
  target: Exclude<LocalTarget, { kind: 'udp' }>,
  dial: () => Promise<Socket>
): Promise<Socket> {
  const server = target.kind === 'tcp' ? target.server : undefined
  if (server === undefined) return await dial()
  let verdict: Verdict = 'switched'
  for (let attempt = 0; attempt < MAX_SWITCHES; attempt += 1) {
    const before = server.holder()
    const socket = await dial()
    verdict = verdictOf(server, before, socket)
    if (verdict === 'proven') return socket
    socket.destroy()
    // Told as the failure of any other connection: a server that hangs up is not one that is somewhere else.
    if (verdict === 'reset') throw Object.assign(new Error('reset when it was connected'), { code: 'ECONNRESET' })
  }
  // Not said the first time: the kernel may have been asked while it put the connection in the place of its request.
  if (verdict === 'elsewhere') throw server.bypassed()
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'its port goes from one listener to the next')
}

function verdictOf(server: PortServer, before: bigint | undefined, socket: Socket): Verdict {
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
function endOf(server: PortServer, socket: Socket): Verdict {
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  // A socket that was reset has no peer any more.
  if (localAddress === undefined || localPort === undefined) return 'reset'
  if (remoteAddress === undefined || remotePort === undefined) return 'reset'
  const [ours, theirs] = [
    { host: localAddress, port: localPort },
    { host: remoteAddress, port: remotePort }
  ]
  if (server.meets(ours, theirs)) return 'proven'
  // Our own end is gone as well: nothing can be sent, and what was received is not to be trusted.
  return server.meets(theirs, ours) ? 'elsewhere' : 'reset'
}

/**
 * Watches over the datagrams of one flow through `socket`, which is connected; undefined where nobody is asked. Has asked
 * once: throws DESTINATION_UNREACHABLE, and closes the socket, if another user has the port.
 */
export function guardOf(
  { server }: Extract<LocalTarget, { kind: 'udp' }>,
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
