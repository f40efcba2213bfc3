import { chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AgentClient, register } from '../../src/client/index.ts'
import { parseHostPort } from '../../src/core/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { localCall, Program, type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import { WatchFlood } from '../../test/integration/support/watch-flood.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Measured, type Report } from '../report.ts'
import { median } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'
import { withScope } from '../with-scope.ts'

const SERVER = 'bench.target.server.default'
const CLIENT = 'bench.load.client.default'
const STRANGER = 61_238
const SERVICES = 500
const WATCHES = 1_000
const SILENT = { addresses: 5, each: 130 }
const STALLED = 1_500
const REGISTRATIONS = 50
const CONNECTIONS = 400
const ROUND_TRIPS = 2_000
const PATIENCE_MS = 300_000

const MEASURES = [
  ['registerMs', 'register', 'ms'],
  ['connectMs', 'connect, request, close', 'ms'],
  ['p50', '64-byte round trip, p50', 'µs'],
  ['p99', '64-byte round trip, p99', 'µs'],
  ['suspicions', 'hosts suspected, log lines of both agents', '']
] as const

type Figures = Readonly<Record<(typeof MEASURES)[number][0], number>>

/**
 * What an honest workload has while others flood its agents: watches of a user without a grant, connections that say nothing,
 * and flows whose readers stand still, all at once; beside what it has at rest, in the same round.
 */
export async function floodsSuite(_scope: Scope, { rounds, say }: SuiteOptions): Promise<Report> {
  const before = loadNow()
  const idle: Figures[] = []
  const flooded: Figures[] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(`floods: round ${round} of ${rounds}`)
    const figures = await withScope(scope => oneRound(scope, say))
    idle.push(figures.idle)
    flooded.push(figures.flooded)
  }
  const measures: Measured[] = MEASURES.map(([key, name, unit]) => ({
    name,
    unit,
    better: 'less',
    results: [
      { contender: 'under floods', ours: true, values: flooded.map(figures => figures[key]) },
      { contender: 'at rest', ours: false, values: idle.map(figures => figures[key]) }
    ]
  }))
  return { suite: 'floods', machine: describeMachine(), load: before, rounds, measures }
}

async function oneRound(
  scope: Scope,
  say: (line: string) => void
): Promise<{ readonly idle: Figures; readonly flooded: Figures }> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const [a, b] = await startPair(scope, { args: ['--log-level', 'info'] })
  for (const agent of [a, b]) chmodSync(dirname(agent.runtimeDir), 0o755)
  await a.cli('allow', 'bench.*.*.*', 'bench.*.*.*')
  await b.follows(a)
  for (let index = 0; index < SERVICES; index += 1) await registerOne(b, `s${index}`)
  const path = await endpoint(scope, a, b, target)
  await measure(load, path, a, b)
  const idle = await measure(load, path, a, b)
  say('floods: begin')
  new WatchFlood(scope, b, STRANGER, WATCHES, 'reads', behind)
  const { dataAddresses } = await a.status()
  const { host, port } = parseHostPort(dataAddresses[0] ?? '')
  const floods = [
    ['silence.ts', host, String(port), String(SILENT.addresses), String(SILENT.each)],
    ['stall.ts', a.runtimeDir, b.runtimeDir, String(STALLED)]
  ].map(
    ([file = '', ...args]) => new Program(scope, behind([process.execPath, join(import.meta.dirname, file), ...args]))
  )
  await Promise.all(floods.map(flood => flood.says(/^open$/m, 'stdout', PATIENCE_MS)))
  say('floods: all are there')
  return { idle, flooded: await measure(load, path, a, b) }
}

/**
 * A program that floods, behind all others that want the processor: what it takes itself is the system's to share out, and
 * what is measured is what it makes the agents do.
 */
function behind(argv: readonly string[]): readonly string[] {
  return ['nice', '-n', '19', ...argv]
}

async function measure(load: Load, path: string, a: TestAgent, b: TestAgent): Promise<Figures> {
  const logged = [a, b].map(({ program }) => program.stderr.length)
  const times: number[] = []
  for (let index = 0; index < REGISTRATIONS; index += 1) {
    const startedMs = performance.now()
    await registerOne(b, `m${index}`)
    times.push(performance.now() - startedMs)
  }
  const { connectionsPerSecond = 0 } = await load.run('connect', path, CONNECTIONS, 1)
  const { p50 = 0, p99 = 0 } = await load.run('latency', path, ROUND_TRIPS, 64)
  const lines = [a, b].flatMap(({ program }, at) => program.stderr.slice(logged[at]).split('\n'))
  const suspicions = lines.filter(line => /suspect/.test(line)).length
  return { registerMs: median(times), connectMs: 1_000 / connectionsPerSecond, p50, p99, suspicions }
}

async function registerOne(agent: TestAgent, name: string): Promise<void> {
  const input = { address: `bench.flood.${name}.default`, ttlMs: 3_600_000, ownerPid: process.pid, wait: 'WAIT_LOCAL' }
  const { status, body } = await localCall(agent.socket, 'WorkloadService/Register', input)
  if (status !== 200) throw new Error(JSON.stringify(body))
}

async function endpoint(scope: Scope, a: TestAgent, b: TestAgent, target: string): Promise<string> {
  const near = new AgentClient({ runtimeDir: a.runtimeDir })
  const far = new AgentClient({ runtimeDir: b.runtimeDir })
  scope.defer(async () => await Promise.all([near.close(), far.close()]))
  await register(SERVER, { client: near, target: { unix: target } })
  const source = await register(CLIENT, { client: far })
  await b.knows(SERVER)
  const { token } = source
  const { path } = await far.workload.connect({ token, destination: SERVER, protocol: apiPb.Protocol.TCP })
  return path
}
