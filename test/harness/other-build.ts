import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Scope } from './scope.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const INSTALL_MS = 300_000
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024

/** The full hash of a commit of this repository; undefined if there is none of this name. */
export function commitOf(name: string): string | undefined {
  try {
    return git('rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`).toString().trim()
  } catch {
    return undefined
  }
}

/** Whether a commit has the dependencies of this checkout: to install others takes longer than all else. */
export function hasSameModules(commit: string): boolean {
  const lock = join(ROOT, 'package-lock.json')
  return (
    existsSync(lock) &&
    isDeepStrictEqual(modulesOf(git('show', `${commit}:package-lock.json`)), modulesOf(readFileSync(lock)))
  )
}

/** What a lock installs. Which of it this package names itself makes no difference. */
function modulesOf(lock: Buffer): object {
  const { packages } = JSON.parse(lock.toString()) as { packages: Record<string, object> }
  return { ...packages, '': {} }
}

/** Puts another commit beside this checkout and builds its code. Returns its directory, which is gone with the scope. */
export function buildCommit(scope: Scope, commit: string): string {
  const directory = join(scope.directory(), 'warren')
  mkdirSync(directory)
  const archive = git('archive', '--format=tar', commit)
  execFileSync('tar', ['-x', '-C', directory], { input: archive, stdio: ['pipe', 'ignore', 'inherit'] })
  if (hasSameModules(commit)) symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  else run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], directory)
  run(process.execPath, ['tools/build.ts', '--code'], directory)
  return directory
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
