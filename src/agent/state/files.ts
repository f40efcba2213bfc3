import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { ErrorCode, WarrenError } from '../../core/index.ts'

/**
 * Makes `path` a directory of ours with exactly this mode, or refuses.
 *
 * Throws STATE_UNUSABLE when it exists as something else or belongs to another user: keys written into a directory that
 * somebody else owns are that person's keys. A symbolic link counts as something else.
 */
export function ensureDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { recursive: true, mode })
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

/** The content of a file, or undefined if there is none. */
export function readIfPresent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, err)
  }
}

/**
 * Replaces a file as a whole and durably: after a crash at any instant it has either the old content or the new.
 *
 * Mode 0600 from its creation on, so that a key is at no time readable by others.
 */
export function replaceFile(path: string, content: Uint8Array | string): void {
  const temporary = `${path}.new`
  try {
    const file = openSync(temporary, 'w', 0o600)
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
    throw unusable(path, err)
  }
}

export function inDirectory(directory: string, name: string): string {
  return join(directory, name)
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function unusable(path: string, err: unknown): WarrenError {
  if (err instanceof WarrenError) return err
  const code = (err as NodeJS.ErrnoException).code
  const hint =
    code === 'ENOSPC'
      ? 'The disk is full; free some space and start again.'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'Start the agent as a user that may write there, or choose another directory.'
        : undefined
  return new WarrenError(ErrorCode.StateUnusable, `cannot use ${path}: ${code ?? String(err)}`, {
    cause: err,
    ...(hint === undefined ? {} : { hint })
  })
}
