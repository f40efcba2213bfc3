import { join } from 'node:path'
import { Actor } from '../../test/clients/actor.ts'
import { type Language, languages } from '../../test/clients/languages.ts'
import { type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import { pathsBetween } from '../idle/paths.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { inTurns, type Measure, type Named } from '../rounds.ts'
import type { SuiteOptions } from '../suite.ts'
import { cpuMs } from '../usage.ts'

interface Running extends Named {
  /** Sends so many bytes and resolves when all have come back. */
  readonly echo: (bytes: number) => Promise<Echoed>
  /** The processes at both ends that live on. */
  readonly ends: readonly number[]
}

interface Echoed {
  /** Of one way, in a second. */
  readonly megabytesPerSecond: number
  /** Processor time of a process that has ended since. */
  readonly cpuMs: number
}

const ECHO_BYTES = 100_000_000
/** The library for TypeScript as a program has it. */
const LIBRARY = join(import.meta.dirname, '../../dist/client/index.js')

/**
 * Bytes that a server sends back, one connection between two agents: server and client by the library of a language, and by the load
 * program, which is written in C and uses none.
 */
export async function clientsSuite(scope: Scope, { rounds, without, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  const { pid } = await load.target('target', target)
  const [near, far] = await startPair(scope, { args: ['--log-level', 'warn'] })
  const [path = ''] = await pathsBetween(scope, near, far, { target, workloads: 1 })
  // An endpoint that nobody connects to within 10 s is removed.
  await load.run('latency', path, 1, 64)
  const program = async (bytes: number): Promise<Echoed> => {
    const { megabytesPerSecond = Number.NaN, cpuMs = Number.NaN } = await load.run('echo', path, bytes)
    return { megabytesPerSecond, cpuMs }
  }
  const running: Running[] = [{ name: 'load program', ours: false, echo: program, ends: [pid] }]
  for (const language of (await languages(scope)).map(asInstalled)) {
    if (without.some(part => language.name.includes(part))) continue
    if (language.skip === undefined) running.push(await started(scope, language, near, far))
    else say(`skipped: ${language.name} ${language.skip}`)
  }
  const before = loadNow()
  const agents = [near.pid, far.pid]
  const what = '100 MB there and back, 1 connection'
  const echo: Measure<Running> = {
    figures: [
      { key: 'megabytesPerSecond', name: what, unit: 'MB/s', better: 'more' },
      { key: 'all', name: `${what}: processor time of all`, unit: 'ms', better: 'less' },
      { key: 'ends', name: `${what}: of both ends`, unit: 'ms', better: 'less' },
      { key: 'agents', name: `${what}: of both agents`, unit: 'ms', better: 'less' }
    ],
    run: async one => {
      const before = [used(one.ends), used(agents)] as const
      const { megabytesPerSecond, cpuMs } = await one.echo(ECHO_BYTES)
      const ends = used(one.ends) - before[0] + cpuMs
      const between = used(agents) - before[1]
      return { megabytesPerSecond, all: ends + between, ends, agents: between }
    }
  }
  const measures = await inTurns(running, [echo], rounds, say)
  return { suite: 'clients', machine: describeMachine(), load: before, rounds, measures }
}

function asInstalled(language: Language): Language {
  return { ...language, env: { ...language.env, ACTOR_LIBRARY: LIBRARY } }
}

async function started(scope: Scope, language: Language, near: TestAgent, far: TestAgent): Promise<Running> {
  const { name, slug } = language
  const to = `bench.echo.${slug}.default`
  const as = `bench.asks.${slug}.default`
  const server = new Actor(scope, language, far.runtimeDir)
  await server.call('listen', { name: 'echo', address: to, whitelist: ['bench.*.*.*'] })
  const client = new Actor(scope, language, near.runtimeDir)
  await near.knows(to)
  const echo = async (bytes: number): Promise<Echoed> => {
    const { bytes: got, seconds } = await client.call<{ bytes: number; seconds: number }>('bulk', { to, as, bytes })
    if (got !== bytes) throw new Error(`${name}: ${got} of ${bytes} bytes came back`)
    return { megabytesPerSecond: bytes / 1e6 / seconds, cpuMs: 0 }
  }
  return { name, ours: true, echo, ends: [server.pid, client.pid] }
}

function used(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
}
