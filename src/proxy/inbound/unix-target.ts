import type { Socket } from 'node:net'
import { type FoundSocket, findOwnSocket, findSocket, sameUser } from '../../attest/index.ts'
import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import type { Target } from '../../workloads/index.ts'
import type { SocketCredentials } from '../deps.ts'

type UnixTarget = Extract<Target, { kind: 'unix' }>

/**
 * Finds the socket of a target: at its path in its owner's view or, if the agent made it, in the directory that the
 * agent made.
 *
 * Rejects with DESTINATION_UNREACHABLE that says why, with the system's error, or with the signal's reason.
 */
export async function findTarget(target: UnixTarget, signal: AbortSignal): Promise<FoundSocket> {
  const finding = find(target)
  if (!(finding instanceof Promise)) return finding
  try {
    return await raceAbort(finding, signal)
  } catch (err) {
    // No caller waits for it any more, and it would stay open.
    finding.then(
      late => late.close(),
      () => {}
    )
    throw err
  }
}

function find({ owner, path, made }: UnixTarget): FoundSocket | Promise<FoundSocket> {
  try {
    const found = owner === undefined ? findOwnSocket(path, made) : findSocket(owner, path)
    return found instanceof Promise ? found.catch(fail) : found
  } catch (cause) {
    return fail(cause)
  }
}

function fail(cause: unknown): never {
  if (!(cause instanceof WarrenError)) throw cause
  throw new WarrenError(ErrorCode.DestinationUnreachable, cause.reason, { cause })
}

/**
 * Throws DESTINATION_UNREACHABLE unless the user who registered the target also serves it. A user who can write to its
 * directory could put a socket of others there, and a link to a socket of the agent would make the agent call itself,
 * with its own rights.
 */
export function checkListener(
  socket: Socket,
  { uid, view, outside = false }: Pick<UnixTarget, 'uid' | 'view' | 'outside'>,
  { listenerOf }: Pick<SocketCredentials, 'listenerOf'>
): void {
  let listener: ReturnType<typeof listenerOf>
  try {
    listener = listenerOf(socket)
  } catch (cause) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'the owner of its socket cannot be read', { cause })
  }
  if (listener.isSelf) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'its socket is one of the agent’s own')
  }
  if (listener.uid !== uid) {
    throw new WarrenError(
      ErrorCode.DestinationUnreachable,
      'its socket is served by another user, who did not register it'
    )
  }
  if (view === undefined && !outside) return
  // The directory was made for this user, and root of a container that has it mounted may do there the same as root.
  const found = listener.view()
  if (found === undefined) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'the process that listened on its socket has ended')
  }
  // A server of the host that checks its peer sees the agent, and would grant the agent's rights to the container.
  if (outside && found.isOfHost) {
    throw new WarrenError(
      ErrorCode.DestinationUnreachable,
      'its socket is one of the host, but it was registered from a container'
    )
  }
  if (view !== undefined && !sameUser({ uid, view }, { uid, view: found })) {
    throw new WarrenError(
      ErrorCode.DestinationUnreachable,
      'its socket is served from another container, or from outside its container'
    )
  }
}
