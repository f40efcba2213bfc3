import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory for what one command finds, which nobody but this user may enter. */
export interface PrivateDirectory {
  readonly path: string
  /** Removes it with all that is in it. Never throws for one that has gone. */
  readonly remove: () => void
}

/** Makes a directory of mode 0700 in the place that the system gives this user for such things. */
export function privateDirectory(): PrivateDirectory {
  const path = mkdtempSync(join(process.env['XDG_RUNTIME_DIR'] || tmpdir(), 'warren-run-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
