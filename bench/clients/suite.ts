import { join } from 'node:path'
import { Actor } from '../../test/clients/actor.ts'
import { type Language, languages } from '../../test/clients/languages.ts'
import { type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import { pathsBetween } from '../idle/paths.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { inTurns, type Measure, type Named } from '../rounds.ts'
import type { SuiteOptions } from '../suite.ts'

interface Running extends Named {
  /** Sends so many bytes and resolves, when all have come back, with the megabytes of one way in a second. */
  readonly echo: (bytes: number) => Promise<number>
}

const ECHO_BYTES = 100_000_000

/**
 * Bytes that a server sends back, one connection between two agents: server and client by the library of a language, and by the load
 * program, which is written in C and uses none.
 */
export async function clientsSuite(scope: Scope, { rounds, without, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const [near, far] = await startPair(scope, { args: ['--log-level', 'warn'] })
  const [path = ''] = await pathsBetween(scope, near, far, { target, workloads: 1 })
  // An endpoint that nobody connects to within 10 s is removed.
  await load.run('latency', path, 1, 64)
  const program = async (bytes: number): Promise<number> =>
    (await load.run('echo', path, bytes))['megabytesPerSecond'] ?? Number.NaN
  const running: Running[] = [{ name: 'load program', ours: false, echo: program }]
  for (const language of await languages(scope)) {
    if (without.some(part => language.name.includes(part))) continue
    if (language.skip === undefined) running.push(await started(scope, language, near, far))
    else say(`skipped: ${language.name} ${language.skip}`)
  }
  const before = loadNow()
  const echo: Measure<Running> = {
    figures: [{ key: 'megabytesPerSecond', name: '100 MB there and back, 1 connection', unit: 'MB/s', better: 'more' }],
    run: async one => ({ megabytesPerSecond: await one.echo(ECHO_BYTES) })
  }
  const measures = await inTurns(running, [echo], rounds, say)
  return { suite: 'clients', machine: describeMachine(), load: before, rounds, measures }
}

async function started(scope: Scope, language: Language, near: TestAgent, far: TestAgent): Promise<Running> {
  const { name, slug } = language
  const to = `bench.echo.${slug}.default`
  const as = `bench.asks.${slug}.default`
  const server = new Actor(scope, language, far.runtimeDir)
  await server.call('listen', { name: 'echo', address: to, whitelist: ['bench.*.*.*'] })
  const client = new Actor(scope, language, near.runtimeDir)
  await near.knows(to)
  const echo = async (bytes: number): Promise<number> => {
    const { bytes: got, seconds } = await client.call<{ bytes: number; seconds: number }>('bulk', { to, as, bytes })
    if (got !== bytes) throw new Error(`${name}: ${got} of ${bytes} bytes came back`)
    return bytes / 1e6 / seconds
  }
  return { name, ours: true, echo }
}
