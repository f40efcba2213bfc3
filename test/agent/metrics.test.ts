import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger, systemClock } from '../../src/core/index.ts'
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
