import { closeSync, constants, fchmodSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ErrorCode, WarrenError } from '../errors.ts'
import { fileFault } from './fault.ts'
import { kindOf, standsAt, systemCode } from './kind.ts'

export interface ClaimOptions {
  /** Its purpose, for people: "the state directory". */
  readonly what: string
  /** Mode of a new directory; an existing one keeps its own. */
  readonly mode: number
  /** Whether a directory that contains these names was ours before. */
  readonly isOurs: (names: readonly string[]) => boolean
  /** Users that may own it besides this user. */
  readonly owners?: readonly number[]
  /** Option that chooses another directory. */
  readonly option: string
}

// Names that a file system has at its root, as where a volume of its own is mounted.
const OF_THE_SYSTEM: ReadonlySet<string> = new Set(['lost+found'])

/**
 * Makes `path` a directory of ours: a new one with its parents, or an existing one that is empty or ours already.
 *
 * Changes nothing in an existing directory, and not its mode. Throws STATE_UNUSABLE for anything else: a directory with
 * other content, such as /tmp or a home; a directory of another user, or one that others may write to (they control its
 * content then); a path that is not a directory, in particular a link.
 */
export function claimDirectory(path: string, options: ClaimOptions): 'made' | 'empty' | 'ours' {
  const { what, mode, isOurs, owners = [], option } = options
  const refuse = (why: string, hint = `Choose another with ${option}.`, cause?: unknown): WarrenError =>
    new WarrenError(ErrorCode.StateUnusable, `${what} ${path} ${why}`, { hint, cause })
  const fault = (what: string, cause: unknown): WarrenError => {
    const { why, hint } = fileFault(path, cause)
    return refuse(`${what}: ${why}`, `${hint} Another directory is chosen with ${option}.`, cause)
  }
  let made: string | undefined
  try {
    made = makeDirectories(path, mode)
    // The mode does not depend on the umask, and applies only to directories that this call made.
    if (made !== undefined) for (const one of pathsBetween(resolve(made), resolve(path))) setMode(one, mode)
  } catch (cause) {
    // For an existing path, its kind explains more.
    if (existing(path) === undefined) throw fault('cannot be made', cause)
  }
  const found = existing(path)
  if (found === undefined) throw refuse('has vanished')
  if (!found.isDirectory()) throw refuse(`is ${kindOf(found)} and not a directory`)
  const uid = process.getuid?.() ?? 0
  if (found.uid !== uid && !owners.includes(found.uid)) {
    throw refuse(
      `belongs to uid ${found.uid}, this is uid ${uid}`,
      `Run this as the user that owns it, or choose another with ${option}.`
    )
  }
  if ((found.mode & 0o022) !== 0) {
    throw refuse(
      'can be written by others',
      `If nobody has changed what is in it: chmod go-w ${path}. Or choose another with ${option}.`
    )
  }
  if (made !== undefined) return 'made'
  let names: string[]
  try {
    names = readdirSync(path).filter(name => !OF_THE_SYSTEM.has(name))
  } catch (cause) {
    throw fault('cannot be read', cause)
  }
  if (names.length === 0) return 'empty'
  if (isOurs(names)) return 'ours'
  throw refuse(
    'is not empty, and its content is not of warren',
    `Give one that is new or empty, as in ${option} ${path === '/' ? '' : path}/warren.`
  )
}

/**
 * Makes a directory and its parents, as `mkdir -p`; returns the first one that it made, undefined if the path exists.
 *
 * Node's own way says ENOENT where a file system is read-only or a parent is closed to this user. This throws the error
 * of the directory that cannot be made.
 */
export function makeDirectories(path: string, mode: number): string | undefined {
  let first: string | undefined
  try {
    mkdirSync(path, { mode })
    return path
  } catch (err) {
    // Also a link to a directory is one; a link that leads nowhere is not.
    if (systemCode(err) === 'EEXIST' && isDirectory(path)) return undefined
    if (systemCode(err) !== 'ENOENT' || dirname(path) === path) throw err
    first = makeDirectories(dirname(path), mode)
    // The parent is a link that leads nowhere.
    if (first === undefined) throw err
  }
  mkdirSync(path, { mode })
  return first
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

function pathsBetween(outer: string, inner: string): string[] {
  return inner === outer || dirname(inner) === inner ? [inner] : [...pathsBetween(outer, dirname(inner)), inner]
}

function setMode(directory: string, mode: number): void {
  // Not opened by its name: the target of a link in its place must not be opened.
  const file = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    fchmodSync(file, mode)
  } finally {
    closeSync(file)
  }
}

function existing(path: string) {
  try {
    return standsAt(path)
  } catch {
    // A parent is a file, or may not be entered: the path does not exist for us.
    return undefined
  }
}
