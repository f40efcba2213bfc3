import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IS_LONG } from '../harness/needs.ts'
import { MUTATIONS, type Mutation } from './mutation.ts'
import { type Report, Simulation } from './simulation.ts'

function simulate(
  seed: number,
  nodes: number,
  minutes: number,
  mutation?: Mutation,
  realCrypto = false,
  liars = 0
): Report {
  const planted = mutation === undefined ? {} : { mutation }
  return new Simulation({ seed, nodes, minutes, realCrypto, liars, ...planted }).run()
}

function assertHolds({ seed, failure }: Report, nodes: number, minutes: number): void {
  if (failure === undefined) return
  const replay = `npm run sim -- --nodes ${nodes} --minutes ${minutes} --seed ${seed}`
  assert.fail([`${failure.invariant}: ${failure.detail}`, `replay: ${replay}`, ...failure.events].join('\n'))
}

test('registries keep their promises through partitions, crashes, wrong clocks and old disks', t => {
  const alarms = new Map<string, number>()
  let slowestMs = 0
  let restoredDisks = 0
  const seeds = IS_LONG ? 20 : 8
  for (let seed = 2; seed < 2 + seeds; seed += 1) {
    const report = simulate(seed, 8, 1)
    assertHolds(report, 8, 1)
    slowestMs = Math.max(slowestMs, report.convergedMs)
    restoredDisks += report.restoredDisks
    for (const [kind, count] of report.alarms) alarms.set(kind, (alarms.get(kind) ?? 0) + count)
  }
  t.diagnostic(`the slowest of ${seeds} seeds agreed ${slowestMs / 1_000} s after the last fault`)
  assert.ok((alarms.get('own-clock-wrong') ?? 0) > 0, 'clocks were wrong')
  assert.ok(restoredDisks > (IS_LONG ? 10 : 3), `${restoredDisks} disks were restored`)
})

test('a mesh too large for every host to know every other directly keeps them as well', () => {
  assertHolds(simulate(7, 36, 0.05), 36, 0.05)
})

test('a host that drops and forges the acknowledgements of others keeps no change from being known as replicated', () => {
  const reports = (IS_LONG ? [3, 5, 8] : [3]).map(seed => simulate(seed, 36, 0.05, undefined, false, 2))
  // Who forges is refused for a minute with everything, its own answer too. So a change can wait longer than the bound: of seeds 1 to 30
  // in one, 5. What it must never be is replicated without being so.
  const late = reports.filter(({ failure }) => failure?.invariant === 'changes are acknowledged')
  assert.ok(late.length <= (IS_LONG ? 1 : 0), `${late.length} of ${reports.length} were acknowledged late`)
  for (const report of reports) if (!late.includes(report)) assertHolds(report, 36, 0.05)
})

test('hosts that compare contents, and renewals apart, keep them beside hosts that cannot', () => {
  for (let seed = 31; seed <= (IS_LONG ? 38 : 33); seed += 1) {
    const report = new Simulation({ seed, nodes: 8, minutes: 1, realCrypto: false, comparesContent: true }).run()
    assertHolds(report, 8, 1)
  }
})

test('the same holds with real signatures', () => {
  assertHolds(simulate(3, 8, 0.3, undefined, true), 8, 0.3)
})

test('a seed replays exactly, and another seed is another story', () => {
  const first = simulate(11, 10, 0.3)
  const again = simulate(11, 10, 0.3)
  assert.deepEqual(again, first)
  assert.notEqual(simulate(12, 10, 0.3).traceHash, first.traceHash)
})

test('a failure names the invariant, the step and the last events about the owner, and replays exactly', () => {
  const mutation = MUTATIONS['accepts an older seq']!
  const first = simulate(3, 8, 1, mutation)
  assert.ok(first.failure !== undefined)
  assert.match(first.failure.invariant, /stays dead/)
  assert.ok(first.failure.step > 0 && first.failure.events.length > 5)
  assert.deepEqual(simulate(3, 8, 1, mutation).failure, first.failure)
})

for (const [name, mutation] of Object.entries(MUTATIONS)) {
  test(`the simulator finds a registry that ${name}`, t => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const { failure } = simulate(seed, 6, 1, mutation)
      if (failure === undefined) continue
      t.diagnostic(`seed ${seed}, step ${failure.step}: ${failure.invariant}`)
      return
    }
    assert.fail('it was not found within 30 seeds')
  })
}
