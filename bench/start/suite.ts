import { setTimeout as pause } from 'node:timers/promises'
import { type Scope, TestAgent } from '../../test/harness/index.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import type { Better } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'
import { withScope } from '../with-scope.ts'

const RESTARTS = 5
const REST_MS = 30_000
const COMMANDS = ['--version', '--help', 'services', 'status']

type Figures = ReadonlyMap<string, readonly number[]>

const MEASURES: ReadonlyArray<readonly [name: string, unit: string, better: Better]> = [
  ['start to ready, founding', 'ms', 'less'],
  ['start to ready, again on the same state', 'ms', 'less'],
  ...COMMANDS.map(command => [`warren ${command}`, 'ms', 'less'] as const),
  [`memory after ${REST_MS / 1_000} s at rest`, 'MB', 'less']
]

/** How soon an agent and the commands are there, and what an agent takes that has nothing to do. */
export async function startSuite(_scope: Scope, { rounds, say }: SuiteOptions): Promise<Report> {
  const before = loadNow()
  const all: Figures[] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(`start: round ${round} of ${rounds}`)
    all.push(await withScope(oneRound))
  }
  const measures = MEASURES.map(([name, unit, better]) => ({
    name,
    unit,
    better,
    results: [{ contender: 'warren', ours: true, values: all.flatMap(figures => figures.get(name) ?? []) }]
  }))
  return { suite: 'start', machine: describeMachine(), load: before, rounds, measures }
}

async function oneRound(scope: Scope): Promise<Figures> {
  const agent = new TestAgent(scope, { name: 'a', args: [] })
  const founding = await readyMs(agent, ['--init', 'example.org'])
  const again: number[] = []
  for (let start = 0; start < RESTARTS; start += 1) {
    await agent.stop()
    again.push(await readyMs(agent, []))
  }
  const commands = new Map<string, number[]>(COMMANDS.map(command => [`warren ${command}`, []]))
  for (let run = 0; run < RESTARTS; run += 1) {
    for (const command of COMMANDS) {
      const startedMs = performance.now()
      await agent.cli(command)
      commands.get(`warren ${command}`)?.push(performance.now() - startedMs)
    }
  }
  await pause(REST_MS)
  const figures = [[founding], again, ...commands.values(), [agent.residentBytes() / 1_000_000]]
  return new Map(MEASURES.map(([name], at) => [name, figures[at] ?? []]))
}

/** From the start of its process until it says that it is ready. */
async function readyMs(agent: TestAgent, args: readonly string[]): Promise<number> {
  const startedMs = performance.now()
  const started = agent.start(args)
  await agent.program.says(/ready in \d+ ms/, 'stderr')
  const tookMs = performance.now() - startedMs
  await started
  return tookMs
}
