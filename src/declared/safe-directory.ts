import { lstatSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'

const ROOT = 0
const STICKY = 0o1000
const WRITABLE_FOR_OTHERS = 0o022
/** As the system's own (path_resolution(7)). */
const MAX_LINKS = 40

/**
 * Throws unless nobody but root and this process can change what a path for a socket of `uid` leads to: the agent makes the
 * socket with its own rights, and gives it away. A socket of its own user needs no check.
 *
 * Every directory and every link on the way counts: the user of a link could lead it elsewhere after this check.
 */
export function requireSafeDirectory(path: string, uid: number): void {
  if (uid === ownUid()) return
  try {
    walk(dirname(path))
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    const { why, hint } = fileFault(dirname(path), cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot listen on ${path}: ${dirname(path)}: ${why}`, {
      cause,
      hint
    })
  }
}

function walk(path: string): void {
  // Not resolve(), which would take `..` for the parent of a link.
  const left = (path.startsWith('/') ? path : `${process.cwd()}/${path}`).split('/')
  let links = 0
  let at = '/'
  requireSafe(at)
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    // join() resolves `..` in a path that has no link any more.
    const next = join(at, name)
    if (!lstatSync(next).isSymbolicLink()) {
      requireSafe(next)
      at = next
      continue
    }
    links += 1
    if (links > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
    requireSafe(next)
    const target = readlinkSync(next)
    if (target.startsWith('/')) at = '/'
    left.unshift(...target.split('/'))
  }
}

/** The mode of a link says nothing: whoever may write its directory can replace it, which was checked before it. */
function requireSafe(path: string): void {
  const found = lstatSync(path)
  const { uid: owner, mode } = found
  const isOthers = owner !== ROOT && owner !== ownUid()
  const isOpen = !found.isSymbolicLink() && (mode & WRITABLE_FOR_OTHERS) !== 0 && (mode & STICKY) === 0
  if (!isOthers && !isOpen) return
  const who = isOthers ? `uid ${owner}` : 'other users'
  const where = found.isSymbolicLink() ? 'a link on the way to the socket' : 'where the socket is to be'
  throw new WarrenError(ErrorCode.PermissionDenied, `${who} can change ${path}, ${where}`, {
    hint: 'Listen in a directory that only root or the agent can write, such as the runtime directory of the agent.'
  })
}

function ownUid(): number {
  return process.geteuid?.() ?? ROOT
}
