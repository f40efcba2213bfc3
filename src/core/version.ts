import { readFileSync } from 'node:fs'

/** Set by the bundler of the single executable, which has no package.json beside it. */
declare const WARREN_VERSION: string | undefined
/** Set by the bundlers. */
declare const WARREN_BUNDLED: boolean | undefined

/**
 * The version of this package.
 *
 * The path holds for this file and for the bundles that it is in: all lie two folders below the package.
 */
export function packageVersion(): string {
  known ??= readVersion()
  return known
}

/** Whether the libraries are those of the build, and no others can take their place. */
export function isBundled(): boolean {
  return typeof WARREN_BUNDLED === 'boolean'
}

let known: string | undefined

function readVersion(): string {
  if (typeof WARREN_VERSION === 'string') return WARREN_VERSION
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  return version
}
