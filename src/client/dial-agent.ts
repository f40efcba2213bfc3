import { lstatSync, statSync } from 'node:fs'
import { connect, type IpcNetConnectOpts, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { isFallbackDir } from './runtime-dir.ts'

/** An agent that starts or stops meanwhile replaces its files once, not again and again. */
const MAX_ATTEMPTS = 3
const ROOT = 0n
const WRITABLE_BY_OTHERS = 0o022n

/** The cause of each refusal of this file. */
class ForeignDirectoryError extends Error {
  override name = 'ForeignDirectoryError'
}

/** Who owned each runtime directory when this process first dialled there. */
const firstOwners = new Map<string, bigint>()

/**
 * Dials `path`, a socket that the agent of `runtimeDir` made. Every connection to an agent and to its endpoints begins
 * here.
 *
 * Throws PERMISSION_DENIED if another user may have made that socket: if its directory or the runtime directory can be
 * written by others, or belongs neither to this user, nor to root, nor to the user who had the runtime directory when
 * this process first dialled there. `/tmp/warren-<uid>`, which no operator named, has no such first user.
 *
 * The credentials of the listener would say the same, but only native code can read them. So the files are compared
 * before and after: Node connects a unix socket within this call, and writes nothing to it before the next turn.
 *
 * Throws the system's error if the files cannot be found or read; every other failure to connect is an `error` event.
 */
export function dialAgent(path: string, runtimeDir: string, options: Partial<IpcNetConnectOpts> = {}): Socket {
  for (let attempts = 1; ; attempts += 1) {
    const before = inspect(path, runtimeDir)
    const socket = connect({ ...options, path })
    try {
      if (inspect(path, runtimeDir) === before) return socket
    } catch (err) {
      discard(socket)
      throw err
    }
    discard(socket)
    if (attempts === MAX_ATTEMPTS) throw refusal(path, 'is replaced by another file again and again')
  }
}

/** Whether `err` says that the runtime directory is another user's now. That can change: its agent may come back. */
export function isForeignDirectory(err: unknown): boolean {
  return err instanceof WarrenError && err.cause instanceof ForeignDirectoryError
}

/** Identifies the files that lead to the socket. */
function inspect(path: string, runtimeDir: string): string {
  const directories = [...new Set([runtimeDir, dirname(path)])]
  return [...directories.map(directory => inspectDirectory(directory, runtimeDir)), identityOf(path)].join(' ')
}

function inspectDirectory(directory: string, runtimeDir: string): string {
  const entry = lstatSync(directory, { bigint: true })
  // A link to a directory, if an operator named it; both must be of the right user.
  const target = entry.isSymbolicLink() ? statSync(directory, { bigint: true }) : entry
  const isFallback = isFallbackDir(runtimeDir)
  if (isFallback && entry !== target) throw refusal(directory, 'is a link')
  if (!isFallback && !firstOwners.has(runtimeDir)) firstOwners.set(runtimeDir, target.uid)
  for (const { uid } of [entry, target]) {
    if (!mayServe(uid, runtimeDir)) throw refusal(directory, `belongs to uid ${uid}, who is not the user of the agent`)
  }
  if ((target.mode & WRITABLE_BY_OTHERS) !== 0n) throw refusal(directory, 'can be written by others')
  return `${entry.dev}:${entry.ino} ${target.dev}:${target.ino}`
}

function mayServe(uid: bigint, runtimeDir: string): boolean {
  return uid === ROOT || uid === BigInt(process.getuid?.() ?? 0) || uid === firstOwners.get(runtimeDir)
}

function identityOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true })
  return `${dev}:${ino}`
}

function discard(socket: Socket): void {
  socket.on('error', () => {})
  socket.destroy()
}

function refusal(path: string, why: string): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, `${path} ${why}`, {
    hint: 'Another user may answer there in the name of the agent. Restart the agent; or set WARREN_RUNTIME_DIR to its runtime directory and restart this program.',
    cause: new ForeignDirectoryError(`${path} ${why}`)
  })
}
