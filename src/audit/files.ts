import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'

/** Name of the audit log in a state directory. */
export const AUDIT_LOG = 'audit.log'

const DIGITS = 16
const SUFFIX = /^\.(\d{16})$/

/** One file of an audit log. */
export interface LogFile {
  readonly path: string
  /** Number of its first line; undefined for the file that is written now. */
  readonly firstSeq: number | undefined
}

/** The path of a full file whose first line has this number. They sort by their names. */
export function fullFileOf(path: string, firstSeq: number): string {
  return `${path}.${String(firstSeq).padStart(DIGITS, '0')}`
}

/** The files of the log at `path`, oldest first. Throws INVALID_ARGUMENT if there are none, or they cannot be listed. */
export function filesOf(path: string): LogFile[] {
  const name = basename(path)
  let names: string[]
  try {
    names = readdirSync(dirname(path))
  } catch (cause) {
    const { why, hint } = fileFault(dirname(path), cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot list ${dirname(path)}: ${why}`, { cause, hint })
  }
  const full = names
    .flatMap(found => {
      const digits = found.startsWith(name) ? SUFFIX.exec(found.slice(name.length))?.[1] : undefined
      return digits === undefined ? [] : [{ path: join(dirname(path), found), firstSeq: Number(digits) }]
    })
    .sort((one, other) => one.firstSeq - other.firstSeq)
  const files = names.includes(name) ? [...full, { path, firstSeq: undefined }] : full
  if (files.length > 0) return files
  throw new WarrenError(ErrorCode.InvalidArgument, `there is no audit log ${path}`, {
    hint: 'An agent that is started with --audit on has one in its state directory; give the path that --audit names, if it names one.'
  })
}
