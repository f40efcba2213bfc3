import { copyFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { compileStart } from './compiled.ts'
import type { Parts } from './parts.ts'
import type { Platform } from './platforms.ts'
import { run } from './run.ts'

const START = join(import.meta.dirname, 'start.mjs')

export interface ExecutableOptions {
  readonly platform: Platform
  readonly parts: Parts
  /** All code (packModules). */
  readonly bundle: string
  readonly work: string
  /** The file to write. */
  readonly file: string
}

/** Writes the executable: Node with the bundle and the native code in it. */
export function executable({ platform, parts, bundle, work, file }: ExecutableOptions): void {
  copyFileSync(START, join(work, basename(START)))
  const config = join(work, `${platform.arch}.json`)
  writeFileSync(
    config,
    JSON.stringify({
      // Relative: the path is in the executable, and the directory is another one each time.
      main: basename(START),
      mainFormat: 'module',
      executable: parts.node,
      output: file,
      disableExperimentalSEAWarning: true,
      useSnapshot: false,
      // For the main module alone, and another one in each run. That of the others is an asset (compiled.ts).
      useCodeCache: false,
      // As bin/warren.js starts Node: a debugger is a port for every user of the host, and no signal and no variable opens
      // one. A small young generation (docs/decisions/0015) is for agents, but these options are the same for all commands.
      // The warning is about node:ffi, which loads the native code.
      execArgv: [
        '--disable-sigusr1',
        '--min-semi-space-size=2',
        '--max-semi-space-size=2',
        '--disable-warning=ExperimentalWarning'
      ],
      execArgvExtension: 'none',
      assets: {
        ...compileStart({ platform, modules: bundle, work }),
        ...Object.fromEntries(Object.entries(parts.addons).map(([name, path]) => [`${name}.node`, path]))
      }
    })
  )
  run(process.execPath, ['--build-sea', config], { cwd: work })
}
