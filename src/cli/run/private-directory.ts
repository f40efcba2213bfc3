import { lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory for what one command finds, which nobody but this user may enter. */
export interface PrivateDirectory {
  readonly path: string
  /** Removes it with all that is in it. Never throws for one that has gone. */
  readonly remove: () => void
}

/**
 * Makes a directory of mode 0700 in the place that the system gives this user for such things; where that is not there, or is that of
 * another user, as after `sudo`, in the place for temporary files. Throws the system's error.
 */
export function privateDirectory(env: NodeJS.ProcessEnv = process.env): PrivateDirectory {
  const given = env['XDG_RUNTIME_DIR'] ?? ''
  const path = mkdtempSync(join(isOwnDirectory(given) ? given : tmpdir(), 'warren-run-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

function isOwnDirectory(path: string): boolean {
  try {
    const found = lstatSync(path)
    return found.isDirectory() && found.uid === process.getuid?.()
  } catch {
    return false
  }
}
