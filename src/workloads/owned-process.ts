import {
  effectiveUidOf,
  type LocalUser,
  type ProcessHandle,
  processHandle,
  processReader,
  sameUser
} from '../attest/index.ts'
import { definedOnly, ErrorCode, WarrenError } from '../core/index.ts'

/**
 * A handle of its own on the process behind a connection.
 *
 * `held` is the handle taken when the connection was accepted; that it is still alive after the new one was opened shows
 * that both are the same process and not a later one with its pid. Throws INVALID_SOURCE.
 */
export function sameProcess(held: ProcessHandle): ProcessHandle {
  return acquire(held.pid, () => held.isAlive())
}

/**
 * A handle on another process of `user`: of the same uid, and in the same view.
 *
 * The owner is read while the handle is held, so a pid that changed hands in between is not accepted. Throws
 * INVALID_SOURCE when there is no such process or it is another user's, INVALID_ARGUMENT when `user` has other process ids
 * than the agent: this number means another process here.
 */
export function processOf(pid: number, user: LocalUser): ProcessHandle {
  if (!user.view.sharesPids) {
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `process ${pid} cannot be named by a process that ${user.view.whyNot}`,
      {
        hint: 'Register from the process that is to be registered itself (`warren serve`, `warren expose`), without a pid.'
      }
    )
  }
  return acquire(
    pid,
    () => sameUser({ uid: effectiveUidOf(pid), view: processReader().viewOf(pid) }, user),
    `It must run as uid ${user.uid}, who registers, and without --pid it is the program that started the command (with sudo, sudo itself): say with --pid which one, or use \`warren expose\`.`
  )
}

function acquire(pid: number, isRight: () => boolean, hint?: string): ProcessHandle {
  let handle: ProcessHandle | undefined
  try {
    handle = processHandle(pid)
    if (isRight() && handle.isAlive()) return handle
  } catch {
    // It ended in between: the same answer as for another user's process, below.
  }
  handle?.close()
  throw new WarrenError(
    ErrorCode.InvalidSource,
    `process ${pid} does not run, or is another user's`,
    definedOnly({ hint })
  )
}
