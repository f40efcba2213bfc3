import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { localCall, type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import type { Better } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'
import { cpuMs } from '../usage.ts'
import { withScope } from '../with-scope.ts'
import { pathsBetween } from './paths.ts'

const FLOWS = 10_000
/** Flows of as many workloads on each side, since one may have 8,192 flows. */
const WORKLOADS = 2
const QUESTIONS = 200
/** Time to collect the garbage of opening them; the timers of the agents run meanwhile. */
const REST_MS = 10_000

type Figures = ReadonlyMap<string, number>

const MEASURES: ReadonlyArray<readonly [name: string, unit: string, better: Better]> = [
  ['agent of the sources, memory per flow', 'KB', 'less'],
  ['agent of the destinations, memory per flow', 'KB', 'less'],
  ['status over agent.sock, median', 'ms', 'less'],
  ['status over agent.sock, slowest of 200', 'ms', 'less'],
  ['processor time of both agents while idle', '% of a core', 'less'],
  ['opened, with one round trip each', '1/s', 'more']
]

/** Ten thousand connections that say nothing, through one pair of agents: what they cost, and whether the agents still answer. */
export async function idleSuite(scope: Scope, { rounds, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const before = loadNow()
  const all: Figures[] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(`idle: round ${round} of ${rounds}`)
    all.push(await withScope(own => oneRound(own, load, target)))
  }
  const measures = MEASURES.map(([name, unit, better]) => ({
    name,
    unit,
    better,
    results: [{ contender: 'warren', ours: true, values: all.map(figures => figures.get(name) ?? Number.NaN) }]
  }))
  return { suite: 'idle', machine: describeMachine(), load: before, rounds, measures }
}

async function oneRound(scope: Scope, load: Load, target: string): Promise<Figures> {
  const [near, far] = await startPair(scope, { args: ['--log-level', 'warn'] })
  const paths = await pathsBetween(scope, near, far, { target, workloads: WORKLOADS })
  // The parts that only the first connections create.
  for (const path of paths) await load.run('connect', path, 100, 10)
  await pause(REST_MS)
  const base = [near.residentBytes(), far.residentBytes()]
  const startedMs = performance.now()
  await Promise.all(paths.map(path => load.hold('idle', path, FLOWS / WORKLOADS)))
  const openedMs = performance.now() - startedMs
  await pause(REST_MS)
  const grown = [near, far].map((agent, at) => (agent.residentBytes() - (base[at] ?? 0)) / 1_000 / FLOWS)
  const flows = await Promise.all([near, far].map(async agent => (await agent.status()).flows))
  if (flows.some(count => count !== FLOWS)) throw new Error(`there are ${flows.join(' and ')} flows, not ${FLOWS}`)
  const cpu = [near, far].map(({ pid }) => cpuMs(pid))
  const measuredMs = performance.now()
  const times = await answerTimes(near)
  await pause(REST_MS)
  const busyMs = [near, far].reduce((sum, agent, at) => sum + cpuMs(agent.pid) - (cpu[at] ?? 0), 0)
  const values = [
    ...grown,
    times[Math.floor(times.length / 2)] ?? Number.NaN,
    times.at(-1) ?? Number.NaN,
    (100 * busyMs) / (performance.now() - measuredMs),
    (1_000 * FLOWS) / openedMs
  ]
  return new Map(MEASURES.map(([name], at) => [name, values[at] ?? Number.NaN]))
}

async function answerTimes(agent: TestAgent): Promise<number[]> {
  const times: number[] = []
  for (let question = 0; question < QUESTIONS; question += 1) {
    const askedMs = performance.now()
    await localCall(agent.socket, 'WorkloadService/GetStatus')
    times.push(performance.now() - askedMs)
  }
  return times.sort((one, other) => one - other)
}
