import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from './platforms.ts'
import { run } from './run.ts'

const PROGRAM = join(import.meta.dirname, 'compile.mjs')

/** The modules that are compiled for the executable, one a line: what record-start.ts found. */
export const START_MODULES = join(import.meta.dirname, 'start-modules.txt')

export interface CompileOptions {
  readonly platform: Platform
  /** The file of packModules. */
  readonly modules: string
  readonly work: string
  /** @default START_MODULES */
  readonly list?: string
}

/** As the list has a path: packages may lie above the checkout. */
export function listed(path: string): string {
  return path.replace(/^.*?node_modules\//, 'node_modules/')
}

/**
 * Compiles what an agent and the commands need at their start, and returns the file with the result.
 *
 * V8 reads compiled code in a tenth of the time that it takes to compile the source, but refuses what another version wrote, or
 * the same one with other flags. So it is written by the Node that is put into the executable, and only for the architecture
 * of this machine: executables for others compile at their start.
 *
 * The first line has the place of each module: `{"NUMBER":[offset, length]}`.
 */
export function compileStart({ platform, modules, work, list = START_MODULES }: CompileOptions): string {
  const file = join(work, `${platform.arch}.compiled`)
  if (platform.arch !== process.arch) {
    writeFileSync(file, '{}\n')
    return file
  }
  // With a random seed, the hashes of names would differ from run to run. V8 computes them anew where it reads the code, with
  // the seed of that process. Neither of the two options counts among the flags that have to be the same.
  run(process.execPath, ['--predictable', '--random-seed=1', PROGRAM, modules, list, file])
  return file
}
