import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as Library from '../../../src/client/index.ts'
import * as ownLibrary from '../../../src/client/index.ts'
import { buildCommit, commitOf, hasSameModules, type Scope, WARREN } from '../../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const PAGE = 'docs/protocol/baseline.md'

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
  if (commitOf(commit) === undefined) {
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
  const directory = buildCommit(scope, baselineCommit())
  const entry = join(directory, 'dist', 'client', 'index.js')
  return {
    name: 'old',
    program: join(directory, 'bin', 'warren.js'),
    library: (await import(entry)) as typeof Library
  }
}
