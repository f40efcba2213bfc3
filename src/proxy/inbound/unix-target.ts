import type { Socket } from 'node:net'
import { type FoundSocket, findOwnSocket, findSocket, sameUser } from '../../attest/index.ts'
import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import type { Target } from '../../workloads/index.ts'
import type { SocketCredentials } from '../deps.ts'

type UnixTarget = Extract<Target, { kind: 'unix' }>

/**
 * Finds the socket of a target: as its owner sees the path, or, for one of the agent's own making, where that made it.
 *
 * Rejects with DESTINATION_UNREACHABLE that says why, with what the system says, or with the signal's reason.
 */
export async function findTarget(target: UnixTarget, signal: AbortSignal): Promise<FoundSocket> {
  const finding = find(target)
  try {
    return await raceAbort(finding, signal)
  } catch (err) {
    // Nobody waits for it any more, and it would stay open.
    finding.then(
      late => late.close(),
      () => {}
    )
    throw err
  }
}

async function find({ owner, path, made }: UnixTarget): Promise<FoundSocket> {
  try {
    return owner === undefined ? findOwnSocket(path, made) : await findSocket(owner, path)
  } catch (cause) {
    if (!(cause instanceof WarrenError)) throw cause
    throw new WarrenError(ErrorCode.DestinationUnreachable, cause.reason, { cause })
  }
}

/**
 * Throws DESTINATION_UNREACHABLE unless who registered the target also serves it: whoever can write to its directory could
 * put a socket of others there, and a link to a socket of the agent would make the agent call itself, with its own rights.
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
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'whose socket it is cannot be read', { cause })
  }
  if (listener.isSelf) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'its socket is one of the agent’s own')
  }
  if (listener.uid !== uid) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'its socket is served by another user than registered it')
  }
  if (view === undefined && !outside) return
  // The directory was made for this user, and root of a container that has it may do there what root may.
  const found = listener.view()
  if (found === undefined) {
    throw new WarrenError(ErrorCode.DestinationUnreachable, 'the process that listened on its socket has ended')
  }
  // A server of the host that looks at its peer sees the agent, and would grant to the container what that may.
  if (outside && found.isOfHost) {
    throw new WarrenError(
      ErrorCode.DestinationUnreachable,
      'its socket is one of the host, and it was registered out of a container'
    )
  }
  if (view !== undefined && !sameUser({ uid, view }, { uid, view: found })) {
    throw new WarrenError(
      ErrorCode.DestinationUnreachable,
      'its socket is served from another container, or out of one'
    )
  }
}
