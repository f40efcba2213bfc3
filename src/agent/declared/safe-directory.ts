import { lstatSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'

const ROOT = 0
const STICKY = 0o1000
const WRITABLE_FOR_OTHERS = 0o022

/**
 * Throws unless nobody but root and this process can change what a path for a socket of `uid` leads to: the agent makes the
 * socket with its own rights, and gives it away. A socket of its own user needs no check.
 */
export function requireSafeDirectory(path: string, uid: number): void {
  const own = process.geteuid?.() ?? ROOT
  if (uid === own) return
  let directory: string
  try {
    directory = realpathSync(dirname(path))
  } catch (cause) {
    const { why, hint } = fileFault(dirname(path), cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot listen on ${path}: ${dirname(path)}: ${why}`, {
      cause,
      hint
    })
  }
  for (;;) {
    const { uid: owner, mode } = lstatSync(directory)
    const isOthers = owner !== ROOT && owner !== own
    if (isOthers || ((mode & WRITABLE_FOR_OTHERS) !== 0 && (mode & STICKY) === 0)) {
      const who = isOthers ? `uid ${owner}` : 'other users'
      throw new WarrenError(ErrorCode.PermissionDenied, `${who} can change ${directory}, where the socket is to be`, {
        hint: 'Listen in a directory that only root or the agent can write, such as the runtime directory of the agent.'
      })
    }
    if (directory === dirname(directory)) return
    directory = dirname(directory)
  }
}
