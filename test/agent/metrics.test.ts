import assert from 'node:assert/strict'
import { test } from 'node:test'
import { METRICS, type MetricName, silentLogger, systemClock } from '../../src/core/index.ts'
import { PromMetrics } from '../../src/metrics/index.ts'

function sampled(samples: Awaited<ReturnType<PromMetrics['samples']>>, name: string, labels: object): number {
  const found = samples.find(one => one.name === name && JSON.stringify(one.labels) === JSON.stringify(labels))
  assert.ok(found, `${name} is there`)
  return found.value
}

test('a limit that was reached moves its counter, and no other', async () => {
  const metrics = new PromMetrics(silentLogger, systemClock)
  metrics.hit('proxy_flows')
  metrics.hit('proxy_flows')
  const samples = await metrics.samples()
  const hits = samples.filter(({ name }) => name === 'warren_limit_hits_total')
  assert.equal(sampled(samples, 'warren_limit_hits_total', { limit: 'proxy_flows' }), 2)
  assert.equal(
    hits.reduce((sum, { value }) => sum + value, 0),
    2
  )
})

test('reading twice counts nothing twice, and collectors are asked each time', async () => {
  const metrics = new PromMetrics(silentLogger, systemClock)
  let flows = 1
  metrics.onRead(() => metrics.set('warren_endpoints', {}, flows))
  metrics.count('warren_registrations_total', {}, 3)
  metrics.observe('warren_replication_seconds', { wait: 'all' }, 0.02)
  await metrics.samples()
  flows = 7
  const text = await metrics.text()
  assert.match(text, /^warren_registrations_total 3$/m)
  assert.match(text, /^warren_endpoints 7$/m)
  assert.match(text, /^warren_replication_seconds_bucket\{le="0.025",wait="all"\} 1$/m)
  assert.match(text, /^# TYPE warren_registrations_total counter$/m)
})

test('a label that nobody defined makes no series of its own', async () => {
  const metrics = new PromMetrics(silentLogger, systemClock)
  const before = (await metrics.samples()).length
  metrics.count('warren_flows_ended_total', { direction: 'local', reason: 'what a peer said' as 'ended' })
  const samples = await metrics.samples()
  assert.equal(samples.length, before)
  assert.equal(sampled(samples, 'warren_flows_ended_total', { direction: 'local', reason: 'other' }), 1)
})

test('no metric has a label without a bound: whatever is counted, its series are those that its table defines', async () => {
  const metrics = new PromMetrics(silentLogger, systemClock)
  const before = await metrics.samples()
  const names = Object.keys(METRICS) as MetricName[]
  for (const name of names) {
    const { kind, labels } = METRICS[name]
    for (let at = 0; at < 200; at += 1) {
      // What a peer or a workload could choose: an address, a path, the text of an error.
      const chosen = Object.fromEntries(Object.keys(labels).map(label => [label, `dev.web.n${at}.default/${label}`]))
      if (kind === 'counter') metrics.count(name as 'warren_flows_ended_total', chosen as never)
      else if (kind === 'gauge') metrics.set(name as 'warren_flows', chosen as never, at)
      else metrics.observe(name as 'warren_replication_seconds', chosen as never, at)
    }
  }
  const after = await metrics.samples()
  const text = await metrics.text()
  assert.doesNotMatch(text, /dev\.web/)
  for (const name of names) {
    const definition = METRICS[name]
    const values: ReadonlyArray<readonly string[]> = Object.values(definition.labels)
    const series = values.reduce((product, list) => product * list.length, 1)
    const isOf = (sample: string): boolean => sample.replace(/_(bucket|sum|count)$/, '') === name
    const found = after.filter(sample => (definition.kind === 'histogram' ? isOf(sample.name) : sample.name === name))
    // A histogram has a line for each bucket, that without an end, the sum and the count; one `other` stands for all that is not defined.
    const most = definition.kind === 'histogram' ? (series + 1) * (definition.buckets.length + 3) : series
    assert.ok(found.length > 0 && found.length <= most, `${name} has ${found.length} lines of at most ${most}`)
  }
  const plain = (all: typeof after): number => all.filter(({ name }) => !/_(bucket|sum|count)$/.test(name)).length
  assert.equal(plain(after), plain(before), 'series that were not there at the start')
})
