import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ensureRuntimeDir } from '../api/index.ts'
import { ErrorCode, fileFault, MAX_SOCKET_PATH_BYTES, tryLock, WarrenError } from '../core/index.ts'
import { ENDPOINT_DIRECTORIES, LONGEST_ENDPOINT } from '../proxy/index.ts'
import { ensureDirectory } from '../state/index.ts'
import { LONGEST_LISTEN_PATH } from '../workloads/index.ts'
import type { ResolvedConfig } from './config.ts'

/** Name of the directory, below the runtime directory, of the sockets that workloads bind. */
const LISTEN_DIRECTORY = 'w'
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
 * `openRuntimeDir`, and with INVALID_OPTION if both are one.
 */
export async function openRuntimeDirs({
  runtimeDir,
  shareDir
}: Pick<ResolvedConfig, 'runtimeDir' | 'shareDir'>): Promise<RuntimeDir> {
  if (shareDir !== undefined && resolve(runtimeDir) === shareDir) {
    throw new WarrenError(ErrorCode.InvalidOption, `${shareDir} is the runtime directory`, {
      hint: 'Give --share a directory of its own: the one for containers has no socket for the operator.'
    })
  }
  const own = await openRuntimeDir(runtimeDir)
  if (shareDir === undefined) return own
  try {
    const shared = await openRuntimeDir(shareDir, '--share')
    const release = (): void => {
      shared.release()
      own.release()
    }
    return { listenDir: shared.listenDir, release }
  } catch (err) {
    own.release()
    throw err
  }
}

/**
 * Makes the runtime directory ours, for as long as this agent runs: from then on the remains of a killed agent may be removed.
 *
 * Rejects with ALREADY_EXISTS while another agent runs on it, INVALID_OPTION when paths of sockets in it would be too long, and as
 * `ensureRuntimeDir`.
 */
export async function openRuntimeDir(path: string, option = '--runtime-dir'): Promise<RuntimeDir> {
  requireRoom(path, option)
  ensureRuntimeDir(path, { mark: LOCK_FILE, directories: [LISTEN_DIRECTORY, ...ENDPOINT_DIRECTORIES], option })
  const release = await lock(path)
  try {
    const listenDir = join(path, LISTEN_DIRECTORY)
    // Others may pass through to the directory that is theirs, and neither list nor add anything.
    ensureDirectory(listenDir, 0o711)
    return { listenDir, release }
  } catch (err) {
    release()
    throw err
  }
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
