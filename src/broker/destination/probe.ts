import { once } from 'node:events'
import type { Socket } from 'node:net'
import { raceAbort } from '../../core/index.ts'
import type { LocalTarget, SocketCredentials } from '../deps.ts'
import { probeFrame } from '../hello.ts'
import { localHeader } from '../proxy-header.ts'
import { dialTarget } from './target.ts'

/**
 * Asks a target for a sign of life. `connect`: it takes a connection, as a flow would make it. `hello`: its program ends
 * one on which it is asked to. Rejects with DESTINATION_UNREACHABLE, or with the signal's reason.
 */
export async function probeTarget(
  target: Exclude<LocalTarget, { kind: 'udp' }>,
  how: 'connect' | 'hello',
  credentials: Pick<SocketCredentials, 'listenerUid'>,
  signal: AbortSignal
): Promise<void> {
  const socket = await dialTarget(target, credentials, signal)
  socket.on('error', () => {})
  try {
    if (how === 'hello') await answered(socket, signal)
    // So a server that expects the header takes it for what it is, instead of logging a broken one.
    else if (target.proxy === true)
      await raceAbort(new Promise<void>(sent => socket.end(localHeader(), () => sent())), signal)
  } finally {
    socket.destroy()
  }
}

async function answered(socket: Socket, signal: AbortSignal): Promise<void> {
  const ended = once(socket, 'end')
  socket.resume()
  socket.write(probeFrame())
  await raceAbort(ended, signal)
}
