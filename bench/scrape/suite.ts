import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import { pathsBetween } from '../idle/paths.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { median } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'
import { cpuMs } from '../usage.ts'
import { withScope } from '../with-scope.ts'

const FLOWS = 10_000
/** Flows of as many workloads on each side, since one may have 8,192 flows. */
const WORKLOADS = 2
const SCRAPES = 60
const FEW = 20
/** Beyond the time for which an agent sends the same text again. */
const EVERY_MS = 550

const MEASURES = [
  ['scrape without a flow, median', 'ms'],
  ['scrape with 10,000 flows, median', 'ms'],
  [`scrape with 10,000 flows, slowest of ${SCRAPES}`, 'ms'],
  ['processor time of the agent for a scrape with 10,000 flows, median', 'ms'],
  ['text of a scrape with 10,000 flows', 'KB']
] as const

/** What `/metrics` costs while ten thousand connections are open through one pair of agents. */
export async function scrapeSuite(scope: Scope, { rounds, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const before = loadNow()
  const all: number[][] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(`scrape: round ${round} of ${rounds}`)
    all.push(await withScope(own => oneRound(own, load, target)))
  }
  const measures = MEASURES.map(([name, unit], at) => ({
    name,
    unit,
    better: 'less' as const,
    results: [{ contender: 'warren', ours: true, values: all.map(figures => figures[at] ?? Number.NaN) }]
  }))
  return { suite: 'scrape', machine: describeMachine(), load: before, rounds, measures }
}

async function oneRound(scope: Scope, load: Load, target: string): Promise<number[]> {
  const [near, far] = await startPair(scope, { args: ['--metrics-listen', '127.0.0.1:0'] })
  const idle = await scrapes(near, FEW)
  const paths = await pathsBetween(scope, near, far, { target, workloads: WORKLOADS })
  await Promise.all(paths.map(path => load.hold('idle', path, FLOWS / WORKLOADS)))
  const { flows } = await near.status()
  if (flows !== FLOWS) throw new Error(`there are ${flows} flows, not ${FLOWS}`)
  const busy = await scrapes(near, SCRAPES)
  return [median(idle.ms), median(busy.ms), Math.max(...busy.ms), busy.cpuMs, busy.bytes / 1_000]
}

interface Scraped {
  readonly ms: readonly number[]
  /** Processor time of the agent for one scrape, the median; what else it does meanwhile is part of it. */
  readonly cpuMs: number
  readonly bytes: number
}

async function scrapes(agent: TestAgent, count: number): Promise<Scraped> {
  const [, port = ''] = await agent.program.says(/"address":"127\.0\.0\.1:(\d+)","msg":"metrics served"/, 'stderr')
  // As a Prometheus does: one connection for all.
  const connection = new Agent({ keepAlive: true, maxSockets: 1 })
  const ms: number[] = []
  const busyMs: number[] = []
  let bytes = 0
  for (let scrape = 0; scrape < count; scrape += 1) {
    await pause(EVERY_MS)
    const beforeMs = cpuMs(agent.pid)
    const askedMs = performance.now()
    bytes = await bodyBytes(port, connection)
    ms.push(performance.now() - askedMs)
    busyMs.push(cpuMs(agent.pid) - beforeMs)
  }
  connection.destroy()
  return { ms, cpuMs: median(busyMs), bytes }
}

async function bodyBytes(port: string, agent: Agent): Promise<number> {
  const asked = request({ host: '127.0.0.1', port, path: '/metrics', agent }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`a scrape was answered ${response.statusCode}`)
  let bytes = 0
  for await (const chunk of response) bytes += (chunk as Buffer).length
  return bytes
}
