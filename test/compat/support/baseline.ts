import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type * as Library from '../../../src/client/index.ts'
import * as ownLibrary from '../../../src/client/index.ts'
import { type Scope, WARREN } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const PAGE = 'docs/protocol/baseline.md'
const INSTALL_MS = 300_000
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024

/** A program of warren, and the library of the same version. */
export interface Build {
  readonly name: 'old' | 'new'
  /** bin/warren.js */
  readonly program: string
  readonly library: typeof Library
}

/** The full hash of the baseline, as the page names it. */
export function baselineCommit(): string {
  const commit = /^Baseline: `([0-9a-f]{40})`/m.exec(readFileSync(join(ROOT, PAGE), 'utf8'))?.[1]
  if (commit === undefined) throw new Error(`${PAGE} names no commit`)
  return commit
}

/** Why the baseline cannot be built here; false if it can. */
export function isMissing(): string | false {
  const commit = baselineCommit()
  try {
    git('cat-file', '-e', `${commit}^{commit}`)
  } catch {
    return `needs the history of the repository: commit ${commit.slice(0, 10)} is not here`
  }
  // To install other modules takes longer than all else.
  return isFull || hasSameModules(commit) ? false : 'the baseline has other modules: npm run test:compat installs them'
}

/** Whether `npm run test:compat` asked for everything. */
export const isFull = process.env['TEST_COMPAT'] === 'full'

export const newBuild: Build = { name: 'new', program: WARREN, library: ownLibrary }

/** Puts the baseline beside this one and builds it. Gone with the scope. */
export async function buildBaseline(scope: Scope): Promise<Build> {
  const commit = baselineCommit()
  const directory = join(scope.directory(), 'warren')
  mkdirSync(directory)
  const archive = git('archive', '--format=tar', commit)
  execFileSync('tar', ['-x', '-C', directory], { input: archive, stdio: ['pipe', 'ignore', 'inherit'] })
  if (hasSameModules(commit)) symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  else run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], directory)
  run(process.execPath, ['tools/build.ts', '--code'], directory)
  const entry = join(directory, 'dist', 'client', 'index.js')
  return {
    name: 'old',
    program: join(directory, 'bin', 'warren.js'),
    library: (await import(entry)) as typeof Library
  }
}

function hasSameModules(commit: string): boolean {
  const lock = join(ROOT, 'package-lock.json')
  return existsSync(lock) && git('show', `${commit}:package-lock.json`).equals(readFileSync(lock))
}

function git(...args: readonly string[]): Buffer {
  // Continuous integration runs the tests in a copy that belongs to another user than the one who made it.
  return execFileSync('git', ['-c', `safe.directory=${ROOT}`, '-C', ROOT, ...args], {
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: ['ignore', 'pipe', 'ignore']
  })
}

function run(command: string, args: readonly string[], cwd: string): void {
  execFileSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'], timeout: INSTALL_MS })
}
