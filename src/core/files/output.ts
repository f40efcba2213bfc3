import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { ErrorCode, WarrenError } from '../errors.ts'
import { kindOf, standsAt, systemCode } from './kind.ts'

export interface OutputOptions {
  /** What is written, for people: "a backup". */
  readonly what: string
  /** Of the file, whatever the umask. @default 0o600 */
  readonly mode?: number
  /** Whether a file that begins with these bytes, up to 64, is of the kind that is written, and may be replaced. @default none is */
  readonly isSameKind?: (head: Buffer) => boolean
  /** What to do where a fifo or a device is wanted. @default nothing is said */
  readonly pipeHint?: string
}

const HEAD_BYTES = 64
// Of file systems without hard links, such as those of USB sticks.
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'])

/**
 * Writes a file that a user named, whole and durably: after a crash at any instant there is either what was there or all of it.
 *
 * Replaced is a regular file of the same kind or an empty one, and nothing else: no other file (ALREADY_EXISTS), and no link, fifo,
 * device, socket or directory (INVALID_ARGUMENT). Throws PERMISSION_DENIED or INVALID_ARGUMENT when it cannot be written.
 */
export function writeOutput(path: string, content: Uint8Array | string, options: OutputOptions): void {
  const { what, mode = 0o600 } = options
  // Not beside it with a name that could be guessed, and never one that is there.
  const staged = join(dirname(path), `.warren-${randomBytes(9).toString('hex')}`)
  try {
    const former = replaceable(path, options)
    const file = openSync(staged, 'wx', 0o600)
    try {
      fchmodSync(file, mode)
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    if (former === undefined) appear(staged, path, what)
    else succeed(staged, path, former)
    syncDirectory(dirname(path))
  } catch (cause) {
    removeQuietly(staged)
    if (cause instanceof WarrenError) throw cause
    const code = systemCode(cause)
    const kind =
      code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? ErrorCode.PermissionDenied : ErrorCode.InvalidArgument
    throw new WarrenError(kind, `cannot write ${path}: ${code}`, {
      cause,
      hint:
        code === 'ENOSPC' ? 'The disk is full.' : 'Give a path in a directory that exists and that you may write to.'
    })
  }
}

/** Throws now what `writeOutput` would throw for what stands at `path`: before work, or a question to a person, that would be in vain. */
export function checkOutput(path: string, options: OutputOptions): void {
  try {
    replaceable(path, options)
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    throw new WarrenError(ErrorCode.PermissionDenied, `cannot read ${path}: ${systemCode(cause)}`, { cause })
  }
}

/** The file that may be replaced; undefined where there is nothing. Throws for what must stay. */
function replaceable(path: string, { what, isSameKind, pipeHint }: OutputOptions): Stats | undefined {
  const found = standsAt(path)
  if (found === undefined) return undefined
  if (!found.isFile()) {
    const hint = found.isSymbolicLink()
      ? 'Give the path that it leads to, if that is what you want.'
      : found.isFIFO() || found.isCharacterDevice() || found.isBlockDevice()
        ? pipeHint
        : undefined
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `${path} exists and is ${kindOf(found)}: it is left as it is`,
      hint === undefined ? {} : { hint }
    )
  }
  if (found.size === 0 || isSameKind?.(headOf(path)) === true) return found
  throw alreadyThere(path, what)
}

function headOf(path: string): Buffer {
  // Neither through a link nor waiting for a fifo, should one have been put there since.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    return head.subarray(0, readSync(file, head, 0, HEAD_BYTES, 0))
  } finally {
    closeSync(file)
  }
}

// A link is made where there is nothing, or not at all; a rename would replace what came meanwhile.
function appear(staged: string, path: string, what: string): void {
  try {
    linkSync(staged, path)
  } catch (err) {
    const code = systemCode(err)
    if (code === 'EEXIST' || standsAt(path) !== undefined) throw alreadyThere(path, what)
    if (!NO_LINKS.has(code)) throw err
    renameSync(staged, path)
    return
  }
  unlinkSync(staged)
}

function succeed(staged: string, path: string, former: Stats): void {
  const now = standsAt(path)
  if (now !== undefined && (now.ino !== former.ino || now.dev !== former.dev)) {
    throw new WarrenError(ErrorCode.AlreadyExists, `${path} was replaced by another program in this moment`, {
      hint: 'Try again.'
    })
  }
  renameSync(staged, path)
}

function alreadyThere(path: string, what: string): WarrenError {
  return new WarrenError(ErrorCode.AlreadyExists, `${path} exists, and is not replaced by ${what}`, {
    hint: 'Choose another path, or remove it yourself.'
  })
}

/** Makes a rename or removal in a directory durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Never made, or moved already; the failure that led here is the one to tell.
  }
}
