import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, type Stats } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { ErrorCode, fileFault, kindOf, WarrenError } from '../../core/index.ts'
import type { Fault } from './place.ts'

/** A configuration has some hundred lines; a larger file is the wrong one. */
const MAX_FILE_BYTES = 1_048_576
export const MAX_PARTS = 256
const WRITABLE_FOR_OTHERS = 0o022
const ROOT = 0

/** The user who decides by a file: root, or the one that the agent runs as. */
export interface Owner {
  readonly uid: number
  /** Whether every user may be named. */
  readonly isRoot: boolean
  /** Names and number of a user who may name only themselves. */
  readonly self: readonly string[]
}

export interface Opened {
  readonly text: string
  readonly owner: Owner
  /** Why nothing may be declared in it. */
  readonly untrusted: Omit<Fault, 'line' | 'column' | 'file'> | undefined
}

/** Opens a file of the configuration once, and reads it. Throws INVALID_CONFIG that names it. */
export function openFile(path: string, ownUid: number): Opened {
  let fd: number | undefined
  try {
    // A fifo that nobody writes to would hold up the agent, at a reload as well.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(fd)
    if (!stats.isFile() && !stats.isDirectory()) throw notAFile(path, stats)
    const text = stats.size > MAX_FILE_BYTES ? undefined : readFileSync(fd, 'utf8')
    if (text === undefined || text.length > MAX_FILE_BYTES)
      throw new WarrenError(ErrorCode.InvalidConfig, `${path} is too large for a configuration`)
    return { text, owner: ownerOf(stats, ownUid), untrusted: untrusted(path, stats, ownUid) }
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidConfig, `cannot read ${path}: ${why}`, { cause, hint })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function notAFile(path: string, stats: Stats): WarrenError {
  return new WarrenError(ErrorCode.InvalidConfig, `cannot read ${path}: it is ${kindOf(stats)}, and no file`, {
    hint: 'Write the configuration to a file: it is read again at each reload.'
  })
}

/** The files of a directory like `conf.d`, in the order of their names; undefined if there is no such directory. */
export function listParts(directory: string, ownUid: number): { paths: string[]; faults: Fault[] } | undefined {
  let fd: number
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const { why, hint } = fileFault(directory, cause)
    throw new WarrenError(ErrorCode.InvalidConfig, `cannot read ${directory}: ${why}`, { cause, hint })
  }
  try {
    const wrong = untrusted(directory, fstatSync(fd), ownUid)
    const whole = { file: directory, line: 1, column: 1 }
    if (wrong !== undefined) return { paths: [], faults: [{ ...whole, ...wrong }] }
    const names = readdirSync(directory)
      .filter(name => !name.startsWith('.'))
      .sort()
    const paths = names.filter(name => name.endsWith('.yaml')).map(name => join(directory, name))
    const misnamed = names.filter(name => name.endsWith('.yml'))
    const faults = misnamed.map(name => ({
      ...whole,
      file: join(directory, name),
      text: 'this file is not read',
      hint: 'Let its name end in .yaml.'
    }))
    if (paths.length > MAX_PARTS)
      faults.push({ ...whole, text: `more than ${MAX_PARTS} files`, hint: 'Put several items into one file.' })
    return { paths: paths.slice(0, MAX_PARTS), faults }
  } finally {
    closeSync(fd)
  }
}

function untrusted(path: string, stats: Stats, ownUid: number): Opened['untrusted'] {
  const { uid, mode } = stats
  if (uid !== ROOT && uid !== ownUid) {
    return {
      text: `uid ${uid} owns it, who is neither root nor the user of the agent, so it may not declare anything`,
      hint: `Give it to root: chown root ${path}`
    }
  }
  if ((mode & WRITABLE_FOR_OTHERS) === 0) return undefined
  const who = (mode & 0o002) === 0 ? 'its group' : 'everybody'
  return { text: `${who} can write it, so it may not declare anything`, hint: `Forbid it: chmod go-w ${path}` }
}

function ownerOf({ uid }: Stats, ownUid: number): Owner {
  const isRoot = uid === ROOT
  return { uid, isRoot, self: uid === ownUid ? [...ownNames(), String(uid)] : [String(uid)] }
}

function ownNames(): string[] {
  try {
    return [userInfo().username]
  } catch {
    // A uid without an entry in the user database.
    return []
  }
}
