import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Mutant, planted } from './mutant.ts'
import { importFault, runTests, typeFault } from './run-tests.ts'
import { CHECKOUT, sourceOf, Workspace } from './workspace.ts'

/** The fate of a mutant. */
export type Fate =
  | { readonly is: 'found'; readonly by: string }
  | { readonly is: 'survived' }
  /** It proves nothing: it does not load, or its tests wait for ever though the list does not say so. */
  | { readonly is: 'unusable'; readonly why: string }

/** Throws if the list has rotted: every mutant must apply, and its tests exist. */
export function requireFresh(mutants: readonly Mutant[]): void {
  const names = new Set(mutants.map(({ breaks }) => breaks))
  if (names.size !== mutants.length) throw new Error('two mutants break the same promise in the same words')
  for (const mutant of mutants) {
    planted(sourceOf(mutant.file), mutant)
    const missing = mutant.tests.find(test => !existsSync(join(CHECKOUT, test)))
    if (missing !== undefined || mutant.tests.length === 0) {
      throw new Error(`the list of mutants has rotted: there is no ${missing ?? 'test named'} (${mutant.breaks})`)
    }
  }
}

/** The complaints of the compiler about any of the mutants; undefined if there are none. Mutants of different words share a workspace. */
export async function typeFaultOf(mutants: readonly Mutant[]): Promise<string | undefined> {
  let rest = mutants
  while (rest.length > 0) {
    using workspace = new Workspace()
    rest = rest.filter(mutant => !plants(workspace, mutant))
    const fault = await typeFault(workspace)
    if (fault !== undefined) return fault
  }
  return undefined
}

function plants(workspace: Workspace, mutant: Mutant): boolean {
  try {
    workspace.plant(mutant)
    return true
  } catch {
    // Another one has changed these words, or made them a second time.
    return false
  }
}

/** Runs a file of tests without any mutant. Returns why it cannot be used to find one; undefined if it can. */
export async function faultOfTests(file: string): Promise<string | undefined> {
  using workspace = new Workspace()
  const outcome = await runTests(workspace, file)
  if (outcome.is === 'passed') return undefined
  return outcome.is === 'not loaded' ? outcome.detail : `${outcome.is}: ${outcome.by}`
}

/** Plants a mutant and runs its tests until one finds it. */
export async function fateOf(mutant: Mutant): Promise<Fate> {
  using workspace = new Workspace()
  workspace.plant(mutant)
  const fault = await importFault(workspace, mutant.file)
  if (fault !== undefined) return { is: 'unusable', why: `it does not load: ${fault}` }
  for (const file of mutant.tests) {
    const outcome = await runTests(workspace, file)
    if (outcome.is === 'not loaded') return { is: 'unusable', why: `${file} does not load: ${outcome.detail}` }
    const isFound = outcome.is === 'failed' || (outcome.is === 'hung' && mutant.hangs === true)
    if (isFound) return { is: 'found', by: `${file}: ${outcome.by}` }
    if (outcome.is === 'hung') return { is: 'unusable', why: `${file} hung: ${outcome.by}` }
  }
  return { is: 'survived' }
}
