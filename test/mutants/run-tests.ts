import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestResult } from './reporter.ts'
import type { Workspace } from './workspace.ts'

/** Above what the tests themselves wait for something to happen, 45 seconds, and then say what. */
const TEST_MS = 60_000
/** A whole file of tests. */
const FILE_MS = 180_000
const REPORTER = join(import.meta.dirname, 'reporter.ts')

/** The outcome of a file of tests. */
export type Outcome =
  | { readonly is: 'passed' }
  /** `by` is the first test that failed, or what the file as a whole did. */
  | { readonly is: 'failed'; readonly by: string }
  | { readonly is: 'hung'; readonly by: string }
  /** Not a single test ran. */
  | { readonly is: 'not loaded'; readonly detail: string }

/** Runs one file of tests up to the first test that fails, in processes that are all ended then. */
export async function runTests(workspace: Workspace, file: string): Promise<Outcome> {
  const args = ['--test', `--test-reporter=${REPORTER}`, `--test-timeout=${TEST_MS}`, file]
  const { child, text, end, ended } = node(workspace, args)
  let [ran, expired] = [0, false]
  let first: TestResult | undefined
  createInterface({ input: child.stdout }).on('line', line => {
    const result = parsed(line)
    if (result === undefined || first !== undefined) return
    if (result.passed) ran += 1
    // Those that were still to come are not at fault.
    else if (result.why !== 'cancelledByParent') {
      first = result
      end()
    }
  })
  const timer = setTimeout(() => {
    expired = true
    end()
  }, FILE_MS)
  const code = await ended
  clearTimeout(timer)
  if (first === undefined) {
    if (expired) return { is: 'hung', by: `it was not over in ${FILE_MS / 1_000} s` }
    return code === 0 && ran > 0 ? { is: 'passed' } : { is: 'not loaded', detail: text() }
  }
  if (first.name.endsWith(file)) {
    // The file as a whole has failed: its process ended, after some tests or before any.
    return ran === 0 ? { is: 'not loaded', detail: text() } : { is: 'failed', by: 'its process ended with an error' }
  }
  return { is: first.why === 'testTimeoutFailure' ? 'hung' : 'failed', by: first.name }
}

/** The reason why a module cannot be imported; undefined if it can. */
export async function importFault(workspace: Workspace, file: string): Promise<string | undefined> {
  const code = `await import(${JSON.stringify(join(workspace.directory, file))}); process.exit(0)`
  const { ended, text } = node(workspace, ['--input-type=module', '--eval', code])
  return (await ended) === 0 ? undefined : text()
}

/** The complaints of the compiler about the workspace; undefined if there are none. */
export async function typeFault(workspace: Workspace): Promise<string | undefined> {
  const compiler = join(workspace.directory, 'node_modules/typescript/bin/tsc')
  // A name that a mistake leaves without use is no error.
  const lenient = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false']
  const { ended, text } = node(workspace, [compiler, '--pretty', 'false', ...lenient])
  return (await ended) === 0 ? undefined : text()
}

const running = new Set<() => void>()

/** Ends all that is under way, which a signal from the terminal does not reach. */
export function endAll(): void {
  for (const end of running) end()
}

/** Starts a Node in the workspace, as the leader of a process group that `end` ends. */
function node(workspace: Workspace, args: readonly string[]) {
  // Set where this is part of a run of tests itself: Node would run nothing inside.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(process.execPath, args, {
    cwd: workspace.directory,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, TMPDIR: workspace.temporary, FORCE_COLOR: '0' }
  })
  const parts: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => parts.push(part))
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // They have all ended.
    }
  }
  running.add(end)
  const ended = new Promise<number | null>((done, failed) => {
    child.once('error', failed).once('close', code => {
      running.delete(end)
      done(code)
    })
  })
  return { child, ended, end, text: () => Buffer.concat(parts).toString().trim().slice(0, 2_000) }
}

function parsed(line: string): TestResult | undefined {
  try {
    return JSON.parse(line) as TestResult
  } catch {
    // Not by the reporter: Node warns of something, say.
    return undefined
  }
}
