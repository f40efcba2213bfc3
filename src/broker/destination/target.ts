import { connect, type Socket } from 'node:net'
import { ErrorCode, raceAbort, WarrenError, within } from '../../core/index.ts'
import type { LocalTarget, SocketCredentials } from '../deps.ts'
import { TARGET_TIMEOUT_MS } from '../timing.ts'

/**
 * Connects to where a local registration serves. The socket is half-open and paused.
 *
 * A unix socket must be served by the user who registered, whoever can write to its directory. Rejects with
 * DESTINATION_UNREACHABLE, or with the signal's reason.
 */
export async function dialTarget(
  target: LocalTarget,
  credentials: SocketCredentials,
  signal: AbortSignal
): Promise<Socket> {
  return await within(TARGET_TIMEOUT_MS, [signal], async limit => {
    const where =
      target.kind === 'unix' ? { path: target.path } : { host: target.host, port: target.port, noDelay: true }
    const socket = connect({ ...where, allowHalfOpen: true })
    const connected = Promise.withResolvers<void>()
    socket.once('connect', connected.resolve)
    // Stays: until somebody carries the flow, its failure has nobody else to go to.
    socket.on('error', connected.reject)
    try {
      await raceAbort(connected.promise, limit)
      socket.pause()
      if (target.kind === 'unix') checkListener(socket, target.uid, credentials)
      return socket
    } catch (err) {
      connected.promise.catch(() => {})
      socket.destroy()
      if (err instanceof WarrenError || signal.aborted) throw err
      throw new WarrenError(ErrorCode.DestinationUnreachable, `its own socket does not answer (${describe(err)})`, {
        cause: err
      })
    }
  })
}

function checkListener(socket: Socket, uid: number, credentials: SocketCredentials): void {
  let listener: number
  try {
    listener = credentials.listenerUid(socket)
  } catch (cause) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'whose socket it is cannot be read', { cause })
  }
  if (listener !== uid) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'its socket is served by another user than registered it')
  }
}

function describe(err: unknown): string {
  if (err instanceof Error && 'code' in err && typeof err.code === 'string') return err.code
  return err instanceof DOMException ? 'no answer in time' : String(err)
}
