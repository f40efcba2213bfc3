import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ErrorCode, standsAt, syncDirectory, systemCode, WarrenError } from '../../core/index.ts'

/** The link that is replaced, as in the volumes of Kubernetes: programs that know those watch it. */
const DATA = '..data'
const GENERATION = /^\.\.warren-[0-9a-f]{16}$/

/**
 * Makes files of a directory appear as one: each is a link into a directory of their own, and one step leads all links to the next one.
 *
 * `write` writes them all into the directory that it is given. Throws ALREADY_EXISTS for a path that is a link of somebody else, and
 * as `write` does.
 */
export function swapIn(directory: string, names: readonly string[], write: (path: string) => void): void {
  const data = join(directory, DATA)
  checkLink(data, target => GENERATION.test(target))
  for (const name of names) checkLink(join(directory, name), target => target === join(DATA, name))
  const next = `..warren-${randomBytes(8).toString('hex')}`
  const made = join(directory, next)
  // The directory around it says who may enter.
  mkdirSync(made, { mode: 0o755 })
  try {
    write(made)
    point(data, next)
  } catch (err) {
    rmSync(made, { recursive: true, force: true })
    throw err
  }
  for (const name of names) {
    const path = join(directory, name)
    if (linkTarget(path) === undefined) point(path, join(DATA, name))
  }
  syncDirectory(directory)
  for (const name of readdirSync(directory)) {
    if (GENERATION.test(name) && name !== next) rmSync(join(directory, name), { recursive: true, force: true })
  }
}

/** Replaces what is at `path` by a link, in one step. */
function point(path: string, target: string): void {
  const staged = `${path}-${randomBytes(8).toString('hex')}`
  symlinkSync(target, staged)
  try {
    renameSync(staged, path)
  } catch (err) {
    rmSync(staged, { force: true })
    throw err
  }
}

function checkLink(path: string, isOurs: (target: string) => boolean): void {
  const target = linkTarget(path)
  if (target === undefined || isOurs(target)) return
  throw new WarrenError(ErrorCode.AlreadyExists, `${path} is a symbolic link to ${target.slice(0, 200)}`)
}

function linkTarget(path: string): string | undefined {
  try {
    if (standsAt(path) === undefined || !lstatSync(path).isSymbolicLink()) return undefined
    return readlinkSync(path)
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
}
