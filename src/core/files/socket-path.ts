import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { ErrorCode, WarrenError } from '../errors.ts'
import { MAX_SOCKET_PATH_BYTES } from '../net.ts'
import { fileFault } from './fault.ts'
import { withDirectoryLock } from './flock.ts'
import { kindOf, standsAt, systemCode } from './kind.ts'

export interface OccupyOptions {
  /**
   * Takes no lock of the directory, which every user who can read the directory could hold for ever. For a directory where nobody
   * else makes sockets.
   */
  readonly isAlone?: boolean
}

/**
 * Runs `bind` once there is no file at `path`, which a user named for a socket.
 *
 * Removes a socket that no process serves, under the lock of its directory, so that of two commands that find it
 * neither removes the socket of the other. Throws for anything else: INVALID_ARGUMENT for a file that is not a socket,
 * for a path that is too long and for a directory that does not exist, PORT_IN_USE for a socket that is served,
 * PERMISSION_DENIED. `bind` must fail where a file exists.
 */
export async function occupySocketPath<T>(
  path: string,
  isServed: (path: string) => Promise<boolean>,
  bind: () => Promise<T>,
  { isAlone = false }: OccupyOptions = {}
): Promise<T> {
  requirePlace(path)
  if (!isSocketAt(path)) return await bind()
  const replace = async (): Promise<T> => {
    if (isSocketAt(path)) {
      const found = versionOf(path)
      if (await isServed(path)) throw inUse(path)
      // A program of another kind may have made this file meanwhile, or without the lock another agent its socket.
      if (isSocketAt(path) && versionOf(path) === found) unlinkSync(path)
    }
    return await bind()
  }
  const done = isAlone ? replace().then(one => ({ done: one })) : withDirectoryLock(dirname(path), replace)
  const locked = await done.catch((cause: unknown) => {
    if (cause instanceof WarrenError) throw cause
    const { why } = fileFault(path, cause)
    const reason = `${path} belongs to a program that has ended, and cannot be removed: ${why}`
    throw new WarrenError(ErrorCode.PermissionDenied, reason, { hint: 'Remove it, or choose another path.', cause })
  })
  if (locked !== undefined) return locked.done
  throw new WarrenError(ErrorCode.PortInUse, `${path} exists, and another process holds the lock of its directory`, {
    hint: 'Choose a path in a directory of your own.'
  })
}

// The number of a file that was removed may be given to the next one at once.
function versionOf(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}:${found.ctimeNs}`
}

/** Whether a program accepts connections on a socket of kind SOCK_STREAM; true if that is unknown. */
export async function acceptsConnections(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = connect({ path })
  probe.once('connect', () => {
    resolve(true)
    probe.destroy()
  })
  // EAGAIN (a full backlog) and EACCES mean that a program serves the socket.
  probe.once('error', err => resolve(systemCode(err) !== 'ECONNREFUSED' && systemCode(err) !== 'ENOENT'))
  return await promise
}

/** Identifies the file at a path now, for as long as the socket that made it is open. */
export function identityOf(path: string): string | undefined {
  const found = standsAt(path)
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/** Removes the file that was made here, but no file that replaced it. Never throws. */
export function removeIfSame(path: string, identity: string | undefined): void {
  try {
    if (identity !== undefined && identityOf(path) === identity) unlinkSync(path)
  } catch {
    // The file has been removed already.
  }
}

const MISSING = Object.assign(new Error('no such directory'), { code: 'ENOENT' })

function requirePlace(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `the socket path ${path} has ${bytes} bytes, the system allows ${MAX_SOCKET_PATH_BYTES}`,
      { hint: 'Choose a shorter one.' }
    )
  }
  const directory = dirname(path)
  try {
    // It follows links: a link to a directory is one.
    if (standsAt(`${directory}/.`)?.isDirectory() === true) return
  } catch (cause) {
    if (systemCode(cause) === 'EACCES') {
      throw new WarrenError(ErrorCode.PermissionDenied, `this user may not enter ${directory}`, { cause })
    }
  }
  const { why, hint } = fileFault(path, MISSING)
  throw new WarrenError(ErrorCode.InvalidArgument, `cannot make the socket ${path}: ${why}`, { hint })
}

function isSocketAt(path: string): boolean {
  const found = standsAt(path)
  if (found === undefined || found.isSocket()) return found !== undefined
  throw new WarrenError(ErrorCode.InvalidArgument, `${path} exists and is ${kindOf(found)}, not a socket`, {
    hint: 'Choose another path, or remove it.'
  })
}

function inUse(path: string): WarrenError {
  return new WarrenError(ErrorCode.PortInUse, `another program serves ${path}`, { hint: 'Choose another path.' })
}
