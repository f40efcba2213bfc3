import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
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
import { fileFault } from './fault.ts'
import { kindOf, standsAt, systemCode } from './kind.ts'

export interface OutputOptions {
  /** The content, for people: "a backup". */
  readonly what: string
  /** Mode of the file, independent of the umask. @default 0o600 */
  readonly mode?: number
  /** The group that the file gets, before it gets its mode. @default that of a new file */
  readonly gid?: number | undefined
  /**
   * Whether a file that begins with these bytes, up to 64, has the kind that is written, and may be replaced. @default
   * none has
   */
  readonly isSameKind?: (head: Buffer) => boolean
  /** Hint for a path that is a fifo or a device. @default no hint */
  readonly pipeHint?: string
}

const HEAD_BYTES = 64
// Errors of file systems without hard links, such as those of USB sticks.
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'])

/**
 * Writes a file that a user named, whole and durably: after a crash at any moment there is either the former file or
 * the whole new one.
 *
 * Replaces only an empty regular file or one of the same kind. Throws ALREADY_EXISTS for any other file, and
 * INVALID_ARGUMENT for a link, fifo, device, socket or directory; PERMISSION_DENIED or INVALID_ARGUMENT when the file
 * cannot be written.
 */
export function writeOutput(path: string, content: Uint8Array | string, options: OutputOptions): void {
  const { what, mode = 0o600, gid } = options
  // The temporary file has a name that cannot be guessed, and never replaces an existing file.
  const staged = join(dirname(path), `.warren-${randomBytes(9).toString('hex')}`)
  try {
    const former = replaceable(path, options)
    const file = openSync(staged, 'wx', 0o600)
    try {
      if (gid !== undefined) fchownSync(file, process.getuid?.() ?? 0, gid)
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
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(kind, `cannot write ${path}: ${why}`, { cause, hint })
  }
}

/**
 * Throws early the error that `writeOutput` would throw for the file at `path`: before work, or a question to the user,
 * that would be useless.
 */
export function checkOutput(path: string, options: OutputOptions): void {
  try {
    replaceable(path, options)
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    const { why, hint } = fileFault(path, cause)
    const isPlace = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(systemCode(cause))
    const code = isPlace ? ErrorCode.InvalidArgument : ErrorCode.PermissionDenied
    throw new WarrenError(code, `cannot read ${path}: ${why}`, { cause, hint })
  }
}

/** Returns the file that may be replaced; undefined if there is none. Throws if the file must stay. */
function replaceable(path: string, { what, isSameKind, pipeHint }: OutputOptions): Stats | undefined {
  const found = standsAt(path)
  if (found === undefined) return undefined
  if (!found.isFile()) {
    const hint = found.isSymbolicLink()
      ? 'Give the path that it leads to, if you want to write there.'
      : found.isFIFO() || found.isCharacterDevice() || found.isBlockDevice()
        ? pipeHint
        : undefined
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      `${path} exists and is ${kindOf(found)}: it is left unchanged`,
      hint === undefined ? {} : { hint }
    )
  }
  if (found.size === 0 || isSameKind?.(headOf(path)) === true) return found
  throw alreadyThere(path, what)
}

function headOf(path: string): Buffer {
  // It follows no link and does not wait for a fifo that may have been put there since.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    return head.subarray(0, readSync(file, head, 0, HEAD_BYTES, 0))
  } finally {
    closeSync(file)
  }
}

// A link is made only where there is no file; a rename would replace a file that was made meanwhile.
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
    throw new WarrenError(ErrorCode.AlreadyExists, `${path} was replaced by another program meanwhile`, {
      hint: 'Try again.'
    })
  }
  renameSync(staged, path)
}

function alreadyThere(path: string, what: string): WarrenError {
  return new WarrenError(ErrorCode.AlreadyExists, `${path} exists, and is not replaced by ${what}`, {
    hint: 'Choose another path, or remove it.'
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
    // It was never made, or was moved already; only the former failure is reported.
  }
}
