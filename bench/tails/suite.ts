import { join } from 'node:path'
import { type Scope, startPair, type TestAgent } from '../../test/harness/index.ts'
import type { Contender } from '../contender.ts'
import { haproxy } from '../contenders/haproxy.ts'
import { nginx } from '../contenders/nginx.ts'
import { installed } from '../contenders/programs.ts'
import { stunnel } from '../contenders/stunnel.ts'
import { pathsBetween } from '../idle/paths.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Measured, type Report } from '../report.ts'
import { type Figure, inTurns, type Measure, type Named } from '../rounds.ts'
import type { SuiteOptions } from '../suite.ts'
import { withScope } from '../with-scope.ts'
import { startCrowd } from './crowd.ts'

interface Running extends Named {
  /** Where a connection reaches the target. */
  readonly path: string
  /** The same by another workload, which moves bulk meanwhile. */
  readonly other: string
}

const OTHERS: readonly Contender[] = [haproxy(installed), stunnel(installed), nginx(installed)]
const COUNT = 5_000
const MANY_COUNT = 2_000
const SMALL_BYTES = 64
const LARGE_BYTES = 16 * 1024
/** More than is moved in any measure: the load that moves it is ended with the measure. */
const ENDLESS_BYTES = 1e15

/**
 * What holds a small message up: round trips while nothing else happens, while another workload moves bulk through the same processes,
 * and while the machine has twenty agents, 10,000 registrations, changes and a scrape each second.
 */
export async function tailsSuite(scope: Scope, { rounds, only, without, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const before = loadNow()
  const wants = (name: string): boolean => only === undefined || name.includes(only)
  const others = OTHERS.filter(({ name }) => !without.some(part => name.includes(part)))
  const found: Measured[] = []
  const measure = async (running: readonly Running[], measures: readonly Measure<Running>[]): Promise<void> => {
    const wanted = measures.filter(({ figures }) => figures.some(({ name }) => wants(name)))
    found.push(...(await inTurns(running, wanted, rounds, say)))
  }
  await withScope(async own => {
    const [near, far] = await startPair(own, { args: ['--log-level', 'warn'] })
    const paths = await pathsOf(own, load, near, far, target)
    const running = [ours(paths), ...(await started(own, others, target, load, say))]
    const quiet = [roundTrip(load, 'quiet', SMALL_BYTES, COUNT), roundTrip(load, 'quiet', LARGE_BYTES, MANY_COUNT)]
    await measure(running, [...quiet, besideBulk(load)])
  })
  const many = roundTrip(load, 'twenty agents, 10,000 registrations, changes and scrapes', SMALL_BYTES, COUNT)
  if (many.figures.some(({ name }) => wants(name))) {
    await withScope(async own => {
      say('tails: starting twenty agents')
      const [near, far] = await startCrowd(own)
      const paths = await pathsOf(own, load, near, far, target)
      await measure([ours(paths), ...(await started(own, others, target, load, say))], [many])
    })
  }
  return { suite: 'tails', machine: describeMachine(), load: before, rounds, measures: found }
}

async function pathsOf(scope: Scope, load: Load, near: TestAgent, far: TestAgent, target: string): Promise<string[]> {
  const paths = await pathsBetween(scope, near, far, { target, workloads: 2 })
  // An endpoint that nobody connects to within 10 s is removed, and the other contenders may take longer to start.
  for (const path of paths) await load.run('latency', path, 1, SMALL_BYTES)
  return paths
}

function ours([path = '', other = path]: readonly string[]): Running {
  return { name: 'warren', ours: true, path, other }
}

async function started(
  scope: Scope,
  contenders: readonly Contender[],
  target: string,
  load: Load,
  say: (line: string) => void
): Promise<Running[]> {
  const running: Running[] = []
  for (const { name, missing, start } of contenders) {
    const reason = missing()
    if (reason === undefined) {
      const { path } = await start(scope, target, load)
      running.push({ name, ours: false, path, other: path })
    } else say(`skipped: ${reason}`)
  }
  return running
}

function roundTrip(load: Load, when: string, bytes: number, count: number): Measure<Running> {
  const size = bytes < 1_024 ? `${bytes}-byte` : `${bytes / 1_024} KiB`
  const of = (key: 'p50' | 'p99'): Figure => ({
    key,
    name: `${when}: ${size} round trip, ${key}`,
    unit: 'µs',
    better: 'less'
  })
  return { figures: [of('p50'), of('p99')], run: async ({ path }) => await load.run('latency', path, count, bytes) }
}

function besideBulk(load: Load): Measure<Running> {
  const { figures, run } = roundTrip(load, 'beside bulk of another workload', SMALL_BYTES, MANY_COUNT)
  return {
    figures,
    async run(running) {
      const bulk = load.start('bulk', running.other, 1, ENDLESS_BYTES)
      try {
        return await run(running)
      } finally {
        await bulk.kill()
      }
    }
  }
}
