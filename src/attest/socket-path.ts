import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { O_PATH, openBelow, openCachedBelow, openEntry, openRoot } from './linux-open.ts'
import type { ProcessHandle } from './process-handle.ts'

/** The identity of a file, independent of its path. */
export interface FileId {
  readonly dev: bigint
  readonly ino: bigint
}

/** A file that was found and is held: connections lead to this one, whatever happens to its path. */
export interface FoundSocket {
  /** Leads to that very file for as long as it is open. */
  readonly path: string
  /** The identity of the file; undefined where files are not held. Throws what the system says. */
  readonly file: () => FileId | undefined
  /** Idempotent. */
  close(): void
}

type Held = Pick<ProcessHandle, 'pid' | 'isAlive'>

const isLinux = process.platform === 'linux'

/**
 * Finds the file at `path` as `process` sees it: below its root directory, among its mounts.
 *
 * Rejects with PERMISSION_DENIED when this agent may not look there, INVALID_SOURCE when the process has ended, UNSUPPORTED
 * before Linux 5.6, or with the error of the system, by its `code`: ENOENT, ELOOP (also for a path through a magic link of
 * /proc), ENOTDIR… On systems other than Linux every process has the view of the agent.
 *
 * Returns, or throws, at once if the kernel has all of the path cached, as it has for each connection but the first.
 */
export function findSocket(process: Held, path: string): FoundSocket | Promise<FoundSocket> {
  if (!isLinux) return unheld(path)
  const root = rootOf(process)
  let isOurs = true
  try {
    const cached = openCachedBelow(root, path)
    if (cached !== undefined) return held(cached)
    isOurs = false
    return findSlowly(root, path)
  } catch (err) {
    throw namingCall(err)
  } finally {
    if (isOurs) closeSync(root)
  }
}

async function findSlowly(root: number, path: string): Promise<FoundSocket> {
  try {
    return held(await openBelow(root, path))
  } catch (err) {
    throw namingCall(err)
  } finally {
    closeSync(root)
  }
}

function namingCall(err: unknown): unknown {
  if (codeOf(err) !== 'ENOSYS') return err
  return new WarrenError(ErrorCode.Unsupported, 'unix targets need openat2, which Linux has from 5.6 on')
}

/**
 * Finds the socket at `path`, in the directory `made` that the agent made for it below that of all its listening sockets.
 *
 * A container that has the latter writable can put another registration's directory, or a link to it, in the place of this
 * one. Throws PERMISSION_DENIED then, or the error of the system, by its `code`: ELOOP for a link in the place of the socket.
 */
export function findOwnSocket(path: string, made: FileId | undefined): FoundSocket {
  const directory = dirname(path)
  if (!isLinux) {
    requireMade(lstatSync(directory, { bigint: true }), made)
    return unheld(path)
  }
  const parent = openSync(dirname(directory), O_PATH | constants.O_DIRECTORY)
  try {
    return inMade(parent, path, made)
  } finally {
    closeSync(parent)
  }
}

// The directory is held while the socket is looked up in it, otherwise it could be replaced after it was compared.
function inMade(parent: number, path: string, made: FileId | undefined): FoundSocket {
  const directory = openDirectory(parent, basename(dirname(path)))
  try {
    requireMade(fstatSync(directory, { bigint: true }), made)
    return held(openEntry(directory, basename(path)))
  } finally {
    closeSync(directory)
  }
}

function openDirectory(parent: number, name: string): number {
  try {
    return openEntry(parent, name)
  } catch (err) {
    throw codeOf(err) === 'ELOOP' ? replaced(err) : err
  }
}

function requireMade({ dev, ino }: FileId, made: FileId | undefined): void {
  if (dev !== made?.dev || ino !== made.ino) throw replaced()
}

function replaced(cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, 'its listening directory is not the one that was made for it', {
    cause
  })
}

function rootOf(process: Held): number {
  let root: number | undefined
  try {
    root = openRoot(process.pid)
    // The pid may be another process's by now.
    if (process.isAlive()) return root
  } catch (cause) {
    if (codeOf(cause) === 'EACCES' || codeOf(cause) === 'EPERM') {
      throw new WarrenError(
        ErrorCode.PermissionDenied,
        `this agent may not look at the files of process ${process.pid}`,
        {
          cause,
          hint: 'Give the agent CAP_SYS_PTRACE, as its systemd unit does, or serve on the socket that it makes (--listen).'
        }
      )
    }
  }
  if (root !== undefined) closeSync(root)
  throw new WarrenError(ErrorCode.InvalidSource, `process ${process.pid} has ended`)
}

function held(fd: number): FoundSocket {
  let open = true
  const close = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  const file = (): FileId => {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    return { dev, ino }
  }
  return { path: `/proc/self/fd/${fd}`, file, close }
}

function unheld(path: string): FoundSocket {
  return { path, file: () => undefined, close() {} }
}

function codeOf(err: unknown): unknown {
  return err instanceof Error && 'code' in err ? err.code : undefined
}
