import { once } from 'node:events'
import { chmodSync, linkSync, mkdtempSync, rmSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import type { Server } from 'node:net'
import { dirname, join } from 'node:path'
import {
  acceptsConnections,
  claimDirectory,
  ErrorCode,
  fileFault,
  identityOf,
  MAX_SOCKET_PATH_BYTES,
  occupySocketPath,
  removeIfSame,
  systemCode,
  WarrenError
} from '../core/index.ts'

/** The other files of a runtime directory, besides the sockets of the local API. */
export interface RuntimeNames {
  /** A file that only we make, and that is there as long as the directory is ours. */
  readonly mark?: string
  readonly directories?: readonly string[]
  /** That named the directory. @default --runtime-dir */
  readonly option?: string
}

const SOCKET_NAMES = ['agent.sock', 'admin.sock', 'spiffe.sock']
// No longer than the names of the sockets, so that it does not take from the length of the path.
const STAGING_PREFIX = '.b'
const STAGED_NAME = 's'

/**
 * Makes `dir` for the sockets of an agent, with its parents, unless it is there; whatever the umask, others may pass through all
 * that is made here, and one that is there keeps its mode. It may be there if it is empty or was ours. Throws as `claimDirectory`.
 */
export function ensureRuntimeDir(
  dir: string,
  { mark, directories = [], option = '--runtime-dir' }: RuntimeNames = {}
): void {
  const known: ReadonlySet<string> = new Set([...SOCKET_NAMES, ...directories])
  claimDirectory(dir, {
    what: 'the runtime directory',
    mode: 0o755,
    isOurs: names =>
      (mark !== undefined && names.includes(mark)) ||
      names.every(name => known.has(name)) ||
      // The directory of an agent that made no mark yet, perhaps with other files of its operator.
      (directories.length > 0 && directories.every(name => names.includes(name))),
    owners: [0],
    option
  })
}

/**
 * Makes `server` listen on the unix socket `path` with exactly `mode`, whatever the umask, which it does not change: other
 * code of the process may be making files. Resolves to a function that removes the path again; call it when the server is closed.
 *
 * The socket that a dead agent left is replaced; one that answers is not (ALREADY_EXISTS), and nor is anything that is
 * not a socket (STATE_UNUSABLE), symbolic links included. The directory must belong to us or root and let nobody else
 * write. INVALID_OPTION for a path too long for a unix socket.
 */
export async function bindSocket(server: Server, path: string, mode: number): Promise<() => void> {
  const bytes = Math.max(
    Buffer.byteLength(path),
    Buffer.byteLength(join(dirname(path), `${STAGING_PREFIX}XXXXXX`, STAGED_NAME))
  )
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    const reason = `the socket path ${path} has ${bytes} bytes, the system allows ${MAX_SOCKET_PATH_BYTES}`
    throw new WarrenError(ErrorCode.InvalidOption, reason, { hint: 'Choose a shorter runtime directory.' })
  }
  await checkDirectory(dirname(path))
  try {
    // Nobody else can make or remove anything there, and other agents keep away: by warren.lock, or by a path of their own.
    await occupySocketPath(path, acceptsConnections, () => bind(server, path, mode), { isAlone: true })
  } catch (err) {
    if (WarrenError.is(err, ErrorCode.PortInUse)) throw alreadyRunning(path)
    // No user named this path: the directory is unusable.
    if (!WarrenError.is(err, ErrorCode.InvalidArgument)) throw err
    throw new WarrenError(ErrorCode.StateUnusable, err.reason, { hint: 'Remove it.', cause: err })
  }
  const identity = identityOf(path)
  // Another agent may have put its own there.
  return () => removeIfSame(path, identity)
}

/** As `bindSocket`, for the listener at `path` that the process before this one has left. */
export async function adoptSocket(server: Server, path: string, fd: number): Promise<() => void> {
  await checkDirectory(dirname(path))
  const listening = once(server, 'listening')
  server.listen({ fd, exclusive: true })
  await listening
  const identity = identityOf(path)
  return () => removeIfSame(path, identity)
}

async function bind(server: Server, path: string, mode: number): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject)
  })
  listening.catch(() => {})
  try {
    publish(server, path, mode)
    await listening
  } catch (cause) {
    server.close()
    if (systemCode(cause) === 'EEXIST') throw alreadyRunning(path)
    const code = systemCode(cause) === 'EACCES' ? ErrorCode.PermissionDenied : ErrorCode.StateUnusable
    throw new WarrenError(code, `cannot listen on ${path}: ${fileFault(path, cause).why}`, { cause })
  }
}

// The socket takes its mode in a directory that only this user can enter, and then appears at its path, unless something is
// there. Bound at its path it would be open to all until its mode is set, where the umask is lax.
function publish(server: Server, path: string, mode: number): void {
  const staging = mkdtempSync(join(dirname(path), STAGING_PREFIX))
  const staged = join(staging, STAGED_NAME)
  try {
    chmodSync(staging, 0o700)
    // For this process alone: a worker of a cluster would be given a socket of its parent, later.
    server.listen({ path: staged, exclusive: true })
    // Otherwise the server emits the error.
    if (!server.listening) return
    chmodSync(staged, mode)
    linkSync(staged, path)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

// A user who may write in the directory can replace the socket and answer in the agent's name.
async function checkDirectory(dir: string): Promise<void> {
  const stat = await lstat(dir).catch((cause: unknown) => {
    const reason = `cannot use the runtime directory ${dir}: ${fileFault(dir, cause).why}`
    throw new WarrenError(ErrorCode.StateUnusable, reason, { cause })
  })
  const uid = process.getuid?.() ?? 0
  if (!stat.isDirectory()) throw unusable(dir, 'is not a directory')
  if (stat.uid !== uid && stat.uid !== 0) throw unusable(dir, `belongs to uid ${stat.uid}`)
  if ((stat.mode & 0o022) !== 0) throw unusable(dir, 'can be written by others')
}

function unusable(dir: string, why: string): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `the runtime directory ${dir} ${why}`, {
    hint: 'Choose another with --runtime-dir or WARREN_RUNTIME_DIR, or make it yours with mode 0755.'
  })
}

function alreadyRunning(path: string): WarrenError {
  return new WarrenError(ErrorCode.AlreadyExists, `another agent is already running on ${path}`, {
    hint: 'Stop it first, or give this one another --runtime-dir and --state-dir.'
  })
}
