import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { ensureRuntimeDir } from '../api/index.ts'
import { ErrorCode, fileFault, MAX_SOCKET_PATH_BYTES, tryLock, WarrenError } from '../core/index.ts'
import { ENDPOINT_DIRECTORIES, LONGEST_ENDPOINT } from '../proxy/index.ts'
import { ensureDirectory } from '../state/index.ts'
import { LONGEST_LISTEN_PATH } from '../workloads/index.ts'
import type { ResolvedConfig } from './config.ts'

/** Name of the directory, below the runtime directory, of the sockets that workloads bind. */
const LISTEN_DIRECTORY = 'w'
const DIRECTORIES: readonly string[] = [LISTEN_DIRECTORY, ...ENDPOINT_DIRECTORIES]
/** Marks the directory as ours; its lock shows that an agent runs on it. */
const LOCK_FILE = 'warren.lock'

export interface RuntimeDir {
  /** Directory in which workloads bind. */
  readonly listenDir: string
  /** Releases the directory for another agent. */
  readonly release: () => void
}

/**
 * Opens the runtime directory, and the directory for containers if there is one: then workloads bind there. Rejects as
 * `openRuntimeDir`, and with INVALID_OPTION for a directory for containers that is not in the runtime directory.
 */
export async function openRuntimeDirs({
  runtimeDir,
  shareDir
}: Pick<ResolvedConfig, 'runtimeDir' | 'shareDir'>): Promise<RuntimeDir> {
  if (shareDir === undefined) return await openRuntimeDir(runtimeDir)
  requireInside(shareDir, resolve(runtimeDir))
  const { release } = await openRuntimeDir(runtimeDir)
  try {
    claim(shareDir, '--share')
    return { listenDir: makeListenDirectory(shareDir), release }
  } catch (err) {
    release()
    throw err
  }
}

// There the lock of the runtime directory keeps other agents away. In the share itself root of a container could hold one for ever, also
// if it may only read.
function requireInside(shareDir: string, runtimeDir: string): void {
  if (dirname(shareDir) === runtimeDir && !DIRECTORIES.includes(basename(shareDir))) return
  throw new WarrenError(ErrorCode.InvalidOption, `${shareDir} is no directory of its own in the runtime directory`, {
    hint: `Give --share ${join(runtimeDir, 'share')}: containers can mount it at any path.`
  })
}

/**
 * Makes the runtime directory ours, for as long as this agent runs: from then on the remains of a killed agent may be removed.
 *
 * Rejects with ALREADY_EXISTS while another agent runs on it, INVALID_OPTION when paths of sockets in it would be too long, and as
 * `ensureRuntimeDir`.
 */
async function openRuntimeDir(path: string): Promise<RuntimeDir> {
  claim(path, '--runtime-dir')
  const release = await lock(path)
  try {
    return { listenDir: makeListenDirectory(path), release }
  } catch (err) {
    release()
    throw err
  }
}

function claim(path: string, option: string): void {
  requireRoom(path, option)
  ensureRuntimeDir(path, { mark: LOCK_FILE, directories: DIRECTORIES, option })
}

/** Makes the directory in which workloads bind. Others may pass through to the one that is theirs, and neither list nor add anything. */
function makeListenDirectory(path: string): string {
  const listenDir = join(path, LISTEN_DIRECTORY)
  ensureDirectory(listenDir, 0o711)
  return listenDir
}

// Checked now, so that no later bind for a workload or a client fails.
function requireRoom(path: string, option: string): void {
  const longest = Math.max(LONGEST_ENDPOINT, join('/', LISTEN_DIRECTORY, LONGEST_LISTEN_PATH).length)
  const bytes = Buffer.byteLength(path)
  const most = MAX_SOCKET_PATH_BYTES - longest
  if (bytes <= most) return
  throw new WarrenError(
    ErrorCode.InvalidOption,
    `the runtime directory ${path} has ${bytes} bytes, and ${most} leave room for the sockets in it`,
    { hint: `Choose a shorter one with ${option}.` }
  )
}

async function lock(directory: string): Promise<() => void> {
  const path = join(directory, LOCK_FILE)
  let file: number
  try {
    file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600)
  } catch (cause) {
    throw unusable(path, fileFault(path, cause).why, cause)
  }
  try {
    if (!fstatSync(file).isFile()) throw unusable(path, 'is not a file')
    if (await tryLock(file)) return () => closeSync(file)
    throw new WarrenError(ErrorCode.AlreadyExists, `another agent is already running on ${directory}`, {
      hint: 'Stop it first, or give this one another --runtime-dir and --state-dir.'
    })
  } catch (cause) {
    closeSync(file)
    throw cause instanceof WarrenError ? cause : unusable(path, 'cannot be locked', cause)
  }
}

function unusable(path: string, why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `${path}: ${why}`, {
    hint: 'Remove it, or choose another directory with --runtime-dir.',
    cause
  })
}
