import { join } from 'node:path'
import { bundle } from '../../../tools/release/bundle.ts'
import { executable } from '../../../tools/release/executable.ts'
import { PartsOf } from '../../../tools/release/parts.ts'
import { PLATFORMS } from '../../../tools/release/platforms.ts'
import type { Scope } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')

/** Builds the executable for an architecture, as `npm run release` does. Undefined where none is made for it. */
export async function builtExecutable(scope: Scope, arch: string = process.arch): Promise<string | undefined> {
  const platform = PLATFORMS.find(one => one.arch === arch)
  if (platform === undefined || process.platform !== 'linux') return undefined
  const work = scope.directory()
  const code = join(work, 'warren.cjs')
  await bundle({ root: ROOT, version: '0.0.0-test', file: code })
  const file = join(work, 'warren')
  executable({ platform, parts: new PartsOf(ROOT, work).collect(platform), bundle: code, work, file })
  return file
}
