// Writes start-modules.txt: the modules that every command executes, those that an agent has executed by the time that it has
// answered its first call, in that order, and which of their functions. Run it when that has changed (npm run record); a list that
// is out of date costs time at the start and bytes, and nothing else.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { bundle } from './bundle.ts'
import { codeHash, listed, START_MODULES } from './compiled.ts'
import { PartsOf } from './parts.ts'
import { PLATFORMS } from './platforms.ts'
import { SECTIONS } from './start-list.ts'

const root = resolve(import.meta.dirname, '..', '..')

interface Recorded {
  /** In the order of their first execution. */
  readonly scripts: ReadonlyArray<{
    readonly url: string
    readonly functions: ReadonlyArray<{
      readonly ranges: ReadonlyArray<{ readonly endOffset: number; readonly count: number }>
    }>
  }>
  /** Modules of Node. */
  readonly builtins: readonly string[]
}

/** Where the executed functions of a module end, by its name. */
type Executed = Map<string, Set<number>>

const work = mkdtempSync(join(tmpdir(), 'warren-record-'))
try {
  const modules = join(work, 'modules')
  await bundle({ root, version: '0.0.0', file: modules })
  const files = assets(modules)
  const { agent, commands } = await record(files)
  const codes = codesOf(modules)
  const all: Executed = new Map()
  const ofCommands = executed(codes, all, commands)
  const ofAgent = executed(codes, all, [agent])
  const sections = [
    [SECTIONS.both, ofAgent.filter(name => ofCommands.includes(name))],
    [SECTIONS.commands, ofCommands.filter(name => !ofAgent.includes(name))],
    [SECTIONS.agent, ofAgent.filter(name => !ofCommands.includes(name))]
  ] as const
  const line = (name: string): string =>
    [listed(name), codeHash(codes.get(name) ?? ''), ...[...(all.get(name) ?? [])].sort((a, b) => a - b)].join(' ')
  const lines = [...agent.builtins, ...sections.flatMap(([title, names]) => [title, ...names.map(line)])]
  writeFileSync(START_MODULES, `${lines.join('\n')}\n`)
  process.stdout.write(`${START_MODULES}: ${sections.map(([title, names]) => `${names.length} ${title}`).join(', ')}\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}

function assets(modules: string): Record<string, string> {
  const compiled = join(work, 'compiled')
  writeFileSync(compiled, '[[],[],[],[]]\n')
  const platform = PLATFORMS.find(({ arch }) => arch === process.arch)
  if (platform === undefined) throw new Error(`no executable is made for ${process.arch}`)
  const { addons } = new PartsOf(root, work).collect(platform)
  const natives = Object.entries(addons).map(([name, file]) => [`${name}.node`, file] as const)
  return { modules, compiled, ...Object.fromEntries(natives) }
}

/** Founds a trust domain with the packed modules under this Node, runs two commands, and returns what each has executed. */
async function record(files: Readonly<Record<string, string>>): Promise<{ agent: Recorded; commands: Recorded[] }> {
  const start = (name: string, ...args: readonly string[]): { child: ChildProcess; out: string } => {
    const out = join(work, name)
    const child = fork(join(import.meta.dirname, 'start.mjs'), args, {
      execArgv: ['--disable-sigusr1', '--import', join(import.meta.dirname, 'recorder.mjs')],
      env: { ...process.env, WARREN_RECORD: JSON.stringify({ files, out }) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    return { child, out }
  }
  const runtime = ['--runtime-dir', join(work, 'r')]
  const where = ['--state-dir', join(work, 's'), ...runtime]
  const listen = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const up = start('agent', 'up', '--init', 'example.org', '--name', 'a', ...where, ...listen)
  await ready(up.child.stderr as NodeJS.ReadableStream)
  const commands: Recorded[] = []
  for (const [name, ...args] of [
    ['version', '--version'],
    ['status', 'status', ...runtime]
  ] as const) {
    const { child, out } = start(name, ...args)
    const [code] = (await once(child, 'exit')) as [number]
    if (code !== 0) throw new Error(`warren ${args.join(' ')} failed: ${code}`)
    commands.push(read(out))
  }
  // With the first call that it answers: what a call needs is made then, and should not wait for compilation.
  up.child.send('take')
  await once(up.child, 'message')
  up.child.kill()
  await once(up.child, 'exit')
  return { agent: read(up.out), commands }
}

function read(file: string): Recorded {
  return JSON.parse(readFileSync(file, 'utf8')) as Recorded
}

async function ready(stderr: NodeJS.ReadableStream): Promise<void> {
  let text = ''
  for await (const chunk of stderr) {
    text += String(chunk)
    if (/ready in \d+ ms/.test(text)) return
  }
  throw new Error(`the agent is not ready: ${text}`)
}

/** The code of each packed module, by its name. */
function codesOf(modules: string): ReadonlyMap<string, string> {
  const text = readFileSync(modules, 'latin1')
  const codeAt = text.indexOf('\n') + 1
  const table = JSON.parse(text.slice(0, codeAt)) as ReadonlyArray<readonly [string, number, number]>
  return new Map(table.map(([name, offset, length]) => [name, text.slice(codeAt + offset, codeAt + offset + length)]))
}

/** Adds to `all` what was executed; returns the names of the modules. */
function executed(codes: ReadonlyMap<string, string>, all: Executed, records: readonly Recorded[]): string[] {
  const scripts = records.flatMap(record => record.scripts).filter(({ url }) => codes.has(url))
  for (const { url, functions } of scripts) {
    const ends = all.get(url) ?? new Set()
    all.set(url, ends)
    for (const { ranges } of functions) {
      const [whole] = ranges
      if (whole !== undefined && whole.count > 0) ends.add(whole.endOffset)
    }
  }
  return [...new Set(scripts.map(({ url }) => url))]
}
