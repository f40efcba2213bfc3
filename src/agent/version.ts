import { readFileSync } from 'node:fs'

/**
 * The version of this package.
 *
 * The path holds for this file and for the bundle that it is in: both lie two folders below the package.
 */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  return version
}
