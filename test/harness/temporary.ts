import { chmodSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

// A unix socket's path has 107 bytes at most, and the names below take up to 70 of them.
const MAX_LENGTH = 36

/**
 * A new directory that every user may enter, with a short path: in $TMPDIR, or in /tmp if that is too long or is closed to
 * others. What is made in it is open to others only if its mode says so.
 */
export function temporaryDirectory(prefix: string): string {
  const directory = mkdtempSync(join(place(), prefix))
  chmodSync(directory, 0o755)
  return directory
}

/** As `temporaryDirectory`, for this user alone. */
export function privateDirectory(prefix: string): string {
  return mkdtempSync(join(place(), prefix))
}

function place(): string {
  const given = resolve(tmpdir())
  return given.length <= MAX_LENGTH && isOpen(given) ? given : '/tmp'
}

/** Whether every user may enter it, and all above it. */
function isOpen(directory: string): boolean {
  const above = dirname(directory)
  return (statSync(directory).mode & 0o001) !== 0 && (above === directory || isOpen(above))
}
