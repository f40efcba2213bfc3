import type { Socket as UdpSocket } from 'node:dgram'
import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { PortGuard } from '../datagram/index.ts'
import type { LocalTarget, PortServer } from '../deps.ts'

/** Connects to a listener that is replaced meanwhile, as by a restart, before it is given up. */
export const MAX_SWITCHES = 3

/**
 * The connection that `dial` makes, if it leads to a server that may have the port of `target`; it is closed, without a byte
 * written, if not.
 *
 * The same listener must be there before and after: so nobody takes the port in between. Rejects with
 * DESTINATION_UNREACHABLE, or as `dial` does.
 */
export async function throughPort(
  target: Exclude<LocalTarget, { kind: 'udp' }>,
  dial: () => Promise<Socket>
): Promise<Socket> {
  const server = target.kind === 'tcp' ? target.server : undefined
  if (server === undefined) return await dial()
  for (let attempt = 0; attempt < MAX_SWITCHES; attempt += 1) {
    const before = server.holder()
    const socket = await dial()
    if (isProven(server, before, socket)) return socket
    socket.destroy()
  }
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'its port goes from one listener to the next')
}

function isProven(server: PortServer, before: bigint | undefined, socket: Socket): boolean {
  try {
    const after = server.holder()
    if (after === undefined && before === undefined) throw server.hidden()
    return after !== undefined && after === before
  } catch (err) {
    socket.destroy()
    throw err
  }
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
