import { lstatSync, type Stats } from 'node:fs'

/** What stands at a path, for people. */
export function kindOf(found: Stats): string {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a directory'
  if (found.isSocket()) return 'a socket'
  if (found.isFIFO()) return 'a fifo'
  if (found.isCharacterDevice() || found.isBlockDevice()) return 'a device'
  return 'a file'
}

/** What stands at a path itself, a link above all; undefined if nothing does. */
export function standsAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** The system's name of a failure. */
export function systemCode(err: unknown): string {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : 'unknown error'
}
