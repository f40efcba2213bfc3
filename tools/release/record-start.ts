// Writes start-modules.txt: the modules of which an agent has executed a good part by the time that it is ready, and those that
// every command needs. Run it when that has changed (npm run record); a list that is out of date costs time at the
// start, and nothing else.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { bundle } from './bundle.ts'
import { listed, START_MODULES } from './compiled.ts'
import { PartsOf } from './parts.ts'
import { PLATFORMS } from './platforms.ts'

const root = resolve(import.meta.dirname, '..', '..')
/** Share of the code of a module, in characters, that has to be executed. */
const ENOUGH = 0.65

interface Executed {
  readonly url: string
  readonly functions: ReadonlyArray<{
    readonly ranges: ReadonlyArray<{ readonly startOffset: number; readonly endOffset: number; readonly count: number }>
  }>
}

const work = mkdtempSync(join(tmpdir(), 'warren-record-'))
try {
  const executed = await record()
  const names = executed.filter(script => shareOf(script) >= ENOUGH).map(({ url }) => listed(url))
  writeFileSync(START_MODULES, `${names.sort().join('\n')}\n`)
  process.stdout.write(`${START_MODULES}: ${names.length} of ${executed.length} modules\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}

/** Founds a trust domain with the packed modules under this Node, and returns what was executed until the agent was ready. */
async function record(): Promise<Executed[]> {
  const modules = join(work, 'modules')
  const compiled = join(work, 'compiled')
  await bundle({ root, version: '0.0.0', file: modules })
  writeFileSync(compiled, '{}\n')
  const platform = PLATFORMS.find(({ arch }) => arch === process.arch)
  if (platform === undefined) throw new Error(`no executable is made for ${process.arch}`)
  const { addons } = new PartsOf(root, work).collect(platform)
  const assets = Object.fromEntries(Object.entries(addons).map(([name, file]) => [`${name}.node`, file]))
  const where = ['--state-dir', join(work, 's'), '--runtime-dir', join(work, 'r')]
  const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const agent = fork(
    join(import.meta.dirname, 'start.mjs'),
    ['up', '--init', 'example.org', '--name', 'a', ...where, ...listen],
    {
      execArgv: ['--disable-sigusr1', '--import', join(import.meta.dirname, 'recorder.mjs')],
      env: { ...process.env, WARREN_ASSETS: JSON.stringify({ modules, compiled, ...assets }) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    }
  )
  await ready(agent.stderr as NodeJS.ReadableStream)
  agent.send('take')
  const [result] = (await once(agent, 'message')) as [Executed[]]
  agent.kill()
  await once(agent, 'exit')
  const [table = ''] = readFileSync(modules, 'latin1').split('\n', 1)
  const packed = new Set((JSON.parse(table) as ReadonlyArray<readonly [name: string]>).map(([name]) => name))
  return result.filter(({ url }) => packed.has(url))
}

async function ready(stderr: NodeJS.ReadableStream): Promise<void> {
  let text = ''
  for await (const chunk of stderr) {
    text += String(chunk)
    if (/ready in \d+ ms/.test(text)) return
  }
  throw new Error(`the agent is not ready: ${text}`)
}

// The first range is the whole script; the functions in it are counted without the functions in them.
function shareOf({ functions }: Executed): number {
  const ranges = functions.map(({ ranges: [whole] }) => whole).filter(range => range !== undefined)
  const length = Math.max(...ranges.map(({ endOffset }) => endOffset), 1)
  const covered = new Uint8Array(length)
  // Outer functions come before inner ones.
  for (const { startOffset, endOffset, count } of ranges) covered.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  return covered.reduce((sum, one) => sum + one, 0) / length
}
