import { setTimeout as pause } from 'node:timers/promises'
import { type Scope, settled } from '../../test/harness/index.ts'
import { distribution } from '../plot.ts'
import { describeMachine, loadNow, type Measured, type Report } from '../report.ts'
import { type Better, percentile } from '../statistics.ts'
import type { SuiteOptions } from '../suite.ts'
import { cpuMs, residentBytes } from '../usage.ts'
import { withScope } from '../with-scope.ts'
import type { Fleet, FleetKind, Seen } from './fleet.ts'
import { leaveForOwnLoopback, loopbackBytes } from './own-loopback.ts'
import { RECORD_MEASURES, recordFigures } from './records.ts'
import { serfFleet } from './serf-fleet.ts'
import { warrenFleet } from './warren-fleet.ts'

const KINDS: readonly FleetKind[] = [warrenFleet, serfFleet('lan'), serfFleet('local')]
/** Changes in a round, one after another, so that each finds the fleet at rest. */
const CHANGES = 60
const MIN_GAP_MS = 100
const GAP_SPREAD_MS = 200
/** Time after which the work of joining and of the changes has ended. */
const REST_MS = 10_000
const IDLE_MS = 20_000
/**
 * Together ten minutes with fifty agents, which take three to five. Serf with its profile for local networks never came to an end
 * with as many.
 */
const ROUND_MS = 5 * 60_000
const ROUND_MS_PER_AGENT = 6_000

interface Row {
  readonly key: string
  readonly name: string
  readonly unit: string
  readonly better: Better
}

type Figures = Readonly<Record<string, number>>

/** Every figure of a round: by contender and name. */
type Rounds = Map<string, Map<string, number[]>>

const rows = (members: number): readonly Row[] => {
  const row = (key: string, name: string, unit: string): Row => ({
    key: `${members} ${key}`,
    name: `${members} agents: ${name}`,
    unit,
    better: 'less'
  })
  return [
    row('first p50', 'registration or user event seen by all, p50', 'ms'),
    row('first p99', 'the same, p99', 'ms'),
    row('last p50', 'registration or tag change seen by all, p50', 'ms'),
    row('last p99', 'the same, p99', 'ms'),
    row('answer p50', 'the caller knows that all have it, p50', 'ms'),
    row('answer p99', 'the same, p99', 'ms'),
    row('change', 'processor time of each for a registration and its end, above that at rest', 'ms'),
    row('bytes', 'idle: sent by each', 'KB/s'),
    row('cpu', 'idle: processor time of each', '% of a core'),
    row('memory', 'resident memory of each', 'MB')
  ]
}

/** How fast a change of one agent is known to all, and what agents cost that do nothing; beside Serf. */
export async function registrySuite(_scope: Scope, options: SuiteOptions): Promise<Report> {
  const { rounds, only, without, agents, records, say } = options
  const isolated = process.getuid?.() === 0
  if (isolated) leaveForOwnLoopback()
  else say('not root: the bytes of an idle agent cannot be distinguished from others on the loopback interface')
  const kinds = KINDS.filter(({ name }) => !without.some(part => name.includes(part))).filter(kind => {
    const missing = kind.missing()
    if (missing !== undefined) say(`skipped: ${missing}`)
    return missing === undefined
  })
  const before = loadNow()
  const all: Rounds = new Map()
  const samples = new Map<string, number[]>()
  const wants = (part: string): boolean => only === undefined || part.includes(only)
  for (const members of wants('agents') ? agents : []) {
    for (let round = 1; round <= rounds; round += 1) {
      for (const kind of kinds) {
        say(`${members} agents of ${kind.name}: round ${round} of ${rounds}`)
        const limitMs = ROUND_MS + members * ROUND_MS_PER_AGENT
        const measured = withScope(scope => settled(oneRound(scope, kind, members, isolated), kind.name, limitMs))
        const { figures, seen } = await measured.catch((err: unknown) => {
          if (kind.ours) throw err
          // A contender that does not come up on this machine must not take the figures of the others with it.
          say(`failed, and left out: ${err instanceof Error ? err.message : err}`)
          return { figures: {}, seen: new Map<string, number[]>() }
        })
        note(all, kind.name, figures)
        for (const [change, times] of seen) {
          const id = `${members} × ${kind.name}, ${change}`
          samples.set(id, [...(samples.get(id) ?? []), ...times])
        }
      }
    }
  }
  for (const count of wants('records') ? records : []) {
    for (let round = 1; round <= rounds; round += 1) {
      say(`${count} records: round ${round} of ${rounds}`)
      note(all, warrenFleet.name, await withScope(scope => recordFigures(scope, count)))
    }
  }
  const wanted = [...agents.flatMap(rows), ...records.flatMap(RECORD_MEASURES)]
  const measures = wanted
    .map(({ key, name, unit, better }): Measured => {
      const results = kinds.flatMap(({ name: contender, ours }) => {
        const values = all.get(contender)?.get(key)
        return values === undefined ? [] : [{ contender, ours, values }]
      })
      return { name, unit, better, results }
    })
    .filter(({ results }) => results.length > 0)
  const machine = describeMachine()
  const plot = distribution('Time until all agents know of a change', 'ms', samples)
  return { suite: 'registry', machine, load: before, rounds, measures, ...(samples.size > 0 && { plot }) }
}

function note(all: Rounds, contender: string, figures: Figures): void {
  const own = all.get(contender) ?? new Map<string, number[]>()
  all.set(contender, own)
  for (const [key, value] of Object.entries(figures)) own.set(key, [...(own.get(key) ?? []), value])
}

async function oneRound(scope: Scope, kind: FleetKind, members: number, isolated: boolean) {
  const fleet = await kind.start(scope, members)
  await pause(REST_MS)
  const seen = new Map<string, number[]>()
  const figures: Record<string, number> = {}
  const changing = fleetCpu(fleet)
  for (const [at, change] of fleet.changes.entries()) {
    const made: Seen[] = []
    for (let round = 0; round < CHANGES; round += 1) {
      made.push(await change.make(Math.floor(Math.random() * members), round))
      await pause(MIN_GAP_MS + Math.random() * GAP_SPREAD_MS)
    }
    const everywhere = made.map(({ everywhereMs }) => everywhereMs)
    const answered = made.map(({ answeredMs }) => answeredMs)
    seen.set(change.name, everywhere)
    for (const part of [50, 99]) {
      if (at === 0) figures[`${members} first p${part}`] = percentile(everywhere, part)
      if (at === fleet.changes.length - 1) figures[`${members} last p${part}`] = percentile(everywhere, part)
      // Serf does not report which members have a change.
      if (kind.ours) figures[`${members} answer p${part}`] = percentile(answered, part)
    }
  }
  const changed = changing()
  await fleet.unwatch()
  await pause(REST_MS)
  const idle = await idleFigures(fleet, members, isolated)
  // Serf makes two changes of other kinds.
  const atRestMs = (idle[`${members} cpu`] ?? 0) * (changed.tookMs / 100) * members
  if (kind.ours) figures[`${members} change`] = (changed.usedMs - atRestMs) / members / CHANGES
  return { seen, figures: { ...figures, ...idle } }
}

/** Starts to count the processor time of all members; the answer is what they have used since. */
function fleetCpu({ pids }: Fleet): () => { readonly usedMs: number; readonly tookMs: number } {
  const startedMs = performance.now()
  const before = pids.map(cpuMs)
  return () => ({
    usedMs: pids.map((pid, at) => cpuMs(pid) - (before[at] ?? 0)).reduce((sum, used) => sum + used, 0),
    tookMs: performance.now() - startedMs
  })
}

async function idleFigures(fleet: Fleet, members: number, isolated: boolean): Promise<Figures> {
  const bytes = loopbackBytes()
  const resting = fleetCpu(fleet)
  await pause(IDLE_MS)
  const { usedMs, tookMs } = resting()
  const memory = fleet.pids.map(residentBytes).reduce((sum, of) => sum + of, 0)
  return {
    [`${members} cpu`]: (100 * usedMs) / tookMs / members,
    [`${members} memory`]: memory / members / 1e6,
    ...(isolated && { [`${members} bytes`]: (loopbackBytes() - bytes) / tookMs / members })
  }
}
