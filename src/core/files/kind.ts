import { lstatSync, type Stats } from 'node:fs'

/** Names the kind of a file, for people. */
export function kindOf(found: Stats): string {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a directory'
  if (found.isSocket()) return 'a socket'
  if (found.isFIFO()) return 'a fifo'
  if (found.isCharacterDevice() || found.isBlockDevice()) return 'a device'
  return 'a file'
}

/** Returns the file at a path itself, without following a link; undefined if there is none. */
export function standsAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** The system's name of a failure. */
export function systemCode(err: unknown): string {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : 'unknown error'
}
