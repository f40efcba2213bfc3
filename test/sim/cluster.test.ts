import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClusterReport, ClusterSimulation } from './cluster/cluster-simulation.ts'
import { PLANTED } from './cluster/planted.ts'

// Many more with npm run test:sim.
const SEEDS = Number(process.env['SIM_CLUSTER_SEEDS'] ?? 2)
const NODES = 8
const MINUTES = 0.5

function assertHolds({ seed, failure }: ClusterReport): void {
  if (failure === undefined) return
  const replay = `npm run sim -- --cluster --nodes ${NODES} --minutes ${MINUTES} --seed ${seed}`
  assert.fail([`${failure.invariant}: ${failure.detail}`, `replay: ${replay}`, ...failure.events].join('\n'))
}

test('hosts admit, hide, evict and follow the admin rightly beside a member that lies and one that will not go', async t => {
  let found = 0
  let slowestMs = 0
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const report = await ClusterSimulation.run({ seed, nodes: NODES, minutes: MINUTES })
    assertHolds(report)
    assert.ok(report.policies >= 3n, `seed ${seed}: ${report.policies} policies`)
    found += report.found
    slowestMs = Math.max(slowestMs, report.convergedMs)
  }
  assert.ok(found > 0, 'hosts that crashed were suspected')
  t.diagnostic(`the slowest of ${SEEDS} seeds agreed ${slowestMs / 1_000} s after the last fault`)
})

test('a seed of the cluster replays exactly, and another seed is another story', async () => {
  const short = { nodes: 6, minutes: 0.05 }
  const first = await ClusterSimulation.run({ seed: 4, ...short })
  assert.deepEqual(await ClusterSimulation.run({ seed: 4, ...short }), first)
  assert.notEqual((await ClusterSimulation.run({ seed: 5, ...short })).traceHash, first.traceHash)
})

for (const [name, planted] of Object.entries(PLANTED)) {
  test(`the simulator finds a host that ${name}`, async t => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const { failure } = await ClusterSimulation.run({ seed, nodes: 7, minutes: 0.4, planted })
      if (failure === undefined) continue
      t.diagnostic(`seed ${seed}, step ${failure.step}: ${failure.invariant}`)
      return
    }
    assert.fail('it was not found within 8 seeds')
  })
}
