import { randomBytes } from 'node:crypto'
import { lchownSync, lstatSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { FileId } from '../attest/index.ts'
import { ErrorCode, type Logger, WarrenError } from '../core/index.ts'

const SOCKET_NAME = 's'
/** Length of a random name, in hexadecimal digits. */
const NAME_LENGTH = 18
/** The longest path of a listening socket, below the directory of them all. */
export const LONGEST_LISTEN_PATH = join('x'.repeat(NAME_LENGTH), SOCKET_NAME)

/** A directory that only one user can enter, and the path in it where that user's workload binds. */
export interface ListenDirectory {
  readonly directory: string
  readonly socketPath: string
  /** Identifies the directory, so that a later replacement is noticed. */
  readonly made: FileId
}

/**
 * Makes a fresh directory below `parent`, owned by the workload's user.
 *
 * `parent` belongs to the agent, so nobody can occupy the path, and only root can swap it, including root of a container in which
 * it is mounted. Throws CANNOT_CONNECT when the agent may not give a directory to that user.
 */
export function createListenDirectory(parent: string, uid: number, gid: number): ListenDirectory {
  const directory = join(parent, randomBytes(NAME_LENGTH / 2).toString('hex'))
  let isMade = false
  try {
    mkdirSync(directory, { mode: 0o700 })
    isMade = true
    const { dev, ino } = lstatSync(directory, { bigint: true })
    if (uid !== process.getuid?.()) lchownSync(directory, uid, gid)
    return { directory, socketPath: join(directory, SOCKET_NAME), made: { dev, ino } }
  } catch (cause) {
    // Otherwise each attempt of a user whom this agent cannot serve would leave a directory behind.
    if (isMade) rmdirSync(directory)
    throw new WarrenError(ErrorCode.CannotConnect, `cannot make a listening directory for uid ${uid}`, {
      cause,
      hint: 'An agent that serves other users must run as root, or as its systemd unit does.'
    })
  }
}

/**
 * Removes the socket and its directory.
 *
 * Never recursive: the directory is writable for its owner, who could swap files under a recursive removal by root.
 * Other files of the owner in it stay, and are logged. Anything but a directory, such as a link to one, stays unchanged.
 */
export function removeListenDirectory(directory: string, log: Logger): void {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === false) {
    log.warn('not a listening directory, so it is left alone', { path: directory })
    return
  }
  try {
    unlinkSync(join(directory, SOCKET_NAME))
  } catch {
    // Not bound, or already unlinked by its workload.
  }
  try {
    rmdirSync(directory)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn('listening directory left behind', { path: directory, err })
  }
}

/** Removes the remains of a killed agent below `parent`, but not the directories that are `used`. */
export function clearListenDirectories(
  parent: string,
  log: Logger,
  used: ReadonlyArray<{ readonly directory: string | undefined }> = []
): void {
  const kept = new Set(used.map(({ directory }) => directory))
  for (const name of readdirSync(parent)) {
    const directory = join(parent, name)
    if (!kept.has(directory)) removeListenDirectory(directory, log)
  }
}
