import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync
} from 'node:fs'
import { dirname } from 'node:path'
import { ErrorCode, fileFault, makeDirectories, syncDirectory, WarrenError } from '../core/index.ts'

/**
 * Makes `path`, in a directory of ours, a directory with exactly this mode, or refuses. Not for a path that a user named.
 *
 * Throws STATE_UNUSABLE when it exists as something else or belongs to another user: keys written into a directory that
 * somebody else owns are that person's keys. A symbolic link counts as something else.
 */
export function ensureDirectory(path: string, mode: number): void {
  try {
    makeDirectories(path, mode)
    const found = lstatSync(path)
    if (!found.isDirectory()) throw new WarrenError(ErrorCode.StateUnusable, `${path} is not a directory`)
    const uid = process.getuid?.() ?? 0
    if (found.uid !== uid) {
      throw new WarrenError(ErrorCode.StateUnusable, `${path} belongs to uid ${found.uid}, this is uid ${uid}`, {
        hint: 'Start the agent as the user that owns it, or choose another directory.'
      })
    }
    chmodSync(path, mode)
  } catch (err) {
    throw unusable(path, err)
  }
}

/**
 * The content of a file that only its owner, this user, can read or write; undefined if there is none.
 *
 * Throws STATE_UNUSABLE for any other file: a file that somebody else may write is that person's key, and one that somebody
 * else may read is no secret. A symbolic link counts as somebody else's.
 */
export function readIfPresent(path: string): Buffer | undefined {
  try {
    // Not blocking, so that a pipe put in its place does not stop the start.
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      requirePrivate(path, file)
      return readFileSync(file)
    } finally {
      closeSync(file)
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, err)
  }
}

/**
 * Replaces a file of ours as a whole and durably: after a crash at any instant it has either the old content or the new.
 *
 * Mode 0600 from its creation on, so that a key is at no time readable by others.
 */
export function replaceFile(path: string, content: Uint8Array | string): void {
  const temporary = `${path}.new`
  try {
    // A file from a crash keeps its mode when it is opened again.
    rmSync(temporary, { force: true })
    const file = openSync(temporary, 'wx', 0o600)
    try {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    syncDirectory(dirname(path))
  } catch (err) {
    removeQuietly(temporary)
    throw unusable(path, err)
  }
}

/** Removes a file, durably; a missing one is no failure. Throws STATE_UNUSABLE. */
export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
    syncDirectory(dirname(path))
  } catch (err) {
    throw unusable(path, err)
  }
}

/** Makes an empty file of mode 0600 if there is none; an existing one is verified as in `readIfPresent`. */
export function ensurePrivateFile(path: string): void {
  closeSync(openPrivateFile(path))
}

/** The same, and returns its descriptor, to read and write. */
export function openPrivateFile(path: string): number {
  try {
    const file = openSync(
      path,
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      0o600
    )
    try {
      requirePrivate(path, file)
      return file
    } catch (err) {
      closeSync(file)
      throw err
    }
  } catch (err) {
    throw unusable(path, err)
  }
}

function requirePrivate(path: string, file: number): void {
  const found = fstatSync(file)
  if (!found.isFile()) throw new WarrenError(ErrorCode.StateUnusable, `${path} is not a file`)
  const uid = process.getuid?.() ?? 0
  if (found.uid !== uid) {
    throw new WarrenError(ErrorCode.StateUnusable, `${path} belongs to uid ${found.uid}, this is uid ${uid}`, {
      hint: `If nobody has changed it: chown ${uid} ${path}`
    })
  }
  const mode = found.mode & 0o777
  if ((mode & 0o077) === 0) return
  throw new WarrenError(ErrorCode.StateUnusable, `${path} has mode ${mode.toString(8)}: it is open to other users`, {
    hint: `If nobody has read or changed it: chmod 600 ${path}`
  })
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // The failure that led here is the one to report.
  }
}

function unusable(path: string, err: unknown): WarrenError {
  if (err instanceof WarrenError) return err
  const code = (err as NodeJS.ErrnoException).code
  if (code === 'ELOOP') return new WarrenError(ErrorCode.StateUnusable, `${path} is a symbolic link`, { cause: err })
  // A defect, or an error of another library.
  if (code === undefined) return new WarrenError(ErrorCode.StateUnusable, `cannot use ${path}: ${err}`, { cause: err })
  const { why, hint } = fileFault(path, err)
  return new WarrenError(ErrorCode.StateUnusable, `cannot use ${path}: ${why}`, { cause: err, hint })
}
