import { chmodSync, constants, linkSync, lstatSync, mkdtempSync, rmSync, unlinkSync } from 'node:fs'
import { lstat, mkdir, open } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { ErrorCode, MAX_SOCKET_PATH_BYTES, WarrenError } from '../core/index.ts'

// No longer than the names of the sockets, so that it does not take from the length of the path.
const STAGING_PREFIX = '.b'
const STAGED_NAME = 's'

/**
 * Makes `dir` for the sockets of an agent, with its parents, unless it is there; whatever the umask, others may pass
 * through all that it makes. Throws as `checkDirectory`.
 */
export async function ensureRuntimeDir(dir: string): Promise<void> {
  try {
    const made = await mkdir(dir, { recursive: true, mode: 0o755 })
    // With a umask of 077, nobody but this user would reach agent.sock.
    if (made !== undefined) for (const path of pathsBetween(resolve(made), resolve(dir))) await openToAll(path)
  } catch (cause) {
    throw new WarrenError(ErrorCode.StateUnusable, `cannot make the runtime directory ${dir}: ${codeOf(cause)}`, {
      hint: 'Choose another with --runtime-dir or WARREN_RUNTIME_DIR.',
      cause
    })
  }
  await checkDirectory(dir)
}

async function openToAll(directory: string): Promise<void> {
  // Not by its name: what a link in its place leads to must not be opened.
  const file = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    await file.chmod(0o755)
  } finally {
    await file.close()
  }
}

function pathsBetween(outer: string, inner: string): string[] {
  return inner === outer || dirname(inner) === inner ? [inner] : [...pathsBetween(outer, dirname(inner)), inner]
}

/**
 * Makes `server` listen on the unix socket `path` with exactly `mode`, whatever the umask, which it does not change: other
 * code of the process may be making files. Resolves to what removes the path again, to be called when the server is closed.
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
  await removeStale(path)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject)
  })
  listening.catch(() => {})
  try {
    publish(server, path, mode)
    await listening
  } catch (cause) {
    server.close()
    if (codeOf(cause) === 'EEXIST') throw alreadyRunning(path)
    const code = codeOf(cause) === 'EACCES' ? ErrorCode.PermissionDenied : ErrorCode.StateUnusable
    throw new WarrenError(code, `cannot listen on ${path}: ${codeOf(cause)}`, { cause })
  }
  const { ino } = lstatSync(path)
  return () => {
    // Another agent may have put its own there.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path)
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
    // Otherwise the server emits why.
    if (!server.listening) return
    chmodSync(staged, mode)
    linkSync(staged, path)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

// Whoever may write in the directory may replace the socket and answer in the agent's name.
async function checkDirectory(dir: string): Promise<void> {
  const stat = await lstat(dir).catch((cause: unknown) => {
    const reason = `cannot use the runtime directory ${dir}: ${codeOf(cause)}`
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

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((err: unknown) => {
    if (codeOf(err) === 'ENOENT') return undefined
    throw new WarrenError(ErrorCode.StateUnusable, `cannot look at ${path}: ${codeOf(err)}`, { cause: err })
  })
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new WarrenError(ErrorCode.StateUnusable, `${path} exists and is not a socket`, { hint: 'Remove it.' })
  }
  if (await answers(path)) throw alreadyRunning(path)
  try {
    // Another agent may have replaced it since: then it is no longer stale.
    const now = lstatSync(path)
    if (now.ino !== found.ino || now.ctimeMs !== found.ctimeMs) throw alreadyRunning(path)
    unlinkSync(path)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return
    if (cause instanceof WarrenError) throw cause
    const reason = `cannot remove the stale socket ${path}: ${codeOf(cause)}`
    throw new WarrenError(ErrorCode.PermissionDenied, reason, { cause })
  }
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = connect({ path })
  probe.once('connect', () => {
    resolve(true)
    probe.destroy()
  })
  probe.once('error', err => {
    // EAGAIN (a full backlog) and EACCES mean that somebody is there.
    resolve(codeOf(err) !== 'ECONNREFUSED' && codeOf(err) !== 'ENOENT')
  })
  return promise
}

function alreadyRunning(path: string): WarrenError {
  return new WarrenError(ErrorCode.AlreadyExists, `another agent is already running on ${path}`, {
    hint: 'Stop it first, or give this one another --runtime-dir and --state-dir.'
  })
}

function codeOf(err: unknown): string {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : 'unknown error'
}
