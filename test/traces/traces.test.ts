import assert from 'node:assert/strict'
import test from 'node:test'
import type { Receiver } from '../../src/collectors/index.ts'
import { type Clock, ErrorCode, silentLogger, systemClock } from '../../src/core/index.ts'
import { flowTracer } from '../../src/traces/flow-tracer.ts'
import { type Span, sourceSpanIdOf, spansRequest, traceIdOf } from '../../src/traces/span.ts'
import { MAX_WAITING_SPANS, SpanQueue } from '../../src/traces/span-queue.ts'
import { FLOW, PEER } from '../audit/support.ts'
import { waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

/** A clock whose wall time stands, and whose monotonic time the test moves. */
function handClock(): Clock & { ms: number } {
  const clock = { ms: 5_000, wallMs: () => 1_000, monotonicMs: () => clock.ms }
  return clock
}

const SPAN: Span = {
  traceId: traceIdOf('f0'),
  spanId: sourceSpanIdOf('f0'),
  parentSpanId: undefined,
  name: 'open flow',
  kind: 'client',
  fromMs: 1,
  toMs: 2,
  attributes: {},
  failure: undefined
}

test('the openings of a flow at both agents are one trace, that of the destination below that of the source', () => {
  const spans: Span[] = []
  const clock = handClock()
  const tracer = flowTracer(clock, some => spans.push(...some))
  const outbound = tracer.begin('f0', 'outbound')
  outbound.step('choose instance')
  clock.ms += 2
  outbound.step('get session', 'b')
  clock.ms += 10.5
  outbound.ended(FLOW)
  tracer.begin('f0', 'inbound').ended({ ...FLOW, direction: 'inbound' })
  const [source, choose, session, destination] = spans
  assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 1)
  assert.match(source?.traceId ?? '', /^[0-9a-f]{32}$/)
  assert.match(source?.spanId ?? '', /^[0-9a-f]{16}$/)
  assert.deepEqual([source?.name, source?.kind, source?.parentSpanId], ['open flow', 'client', undefined])
  assert.deepEqual([source?.fromMs, source?.toMs], [1_000, 1_012.5])
  assert.deepEqual([choose?.parentSpanId, choose?.fromMs, choose?.toMs], [source?.spanId, 1_000, 1_002])
  assert.deepEqual([session?.name, session?.fromMs, session?.toMs], ['get session', 1_002, 1_012.5])
  assert.equal(session?.attributes['warren.machine'], 'b')
  assert.deepEqual([destination?.name, destination?.kind], ['accept flow', 'server'])
  assert.equal(destination?.parentSpanId, source?.spanId)
  assert.notEqual(traceIdOf('f1'), traceIdOf('f0'))
})

test('a flow that fails has the failure on its span, and on the step in which it failed', () => {
  const spans: Span[] = []
  const tracer = flowTracer(systemClock, some => spans.push(...some))
  const trace = tracer.begin('f0', 'inbound')
  trace.step('check source')
  trace.step('connect target')
  trace.ended({ ...FLOW, direction: 'inbound' }, { code: ErrorCode.DestinationUnreachable, reason: 'nothing listens' })
  assert.deepEqual(
    spans.map(({ name, failure }) => [name, failure]),
    [
      ['accept flow', 'nothing listens'],
      ['check source', undefined],
      ['connect target', 'nothing listens']
    ]
  )
  const host = { machine: 'a', trustDomain: 'example.org', peer: PEER, version: '1.0.0' }
  const { resourceSpans } = JSON.parse(spansRequest(spans, host).toString()) as {
    resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[]
  }
  const [first] = resourceSpans[0]?.scopeSpans[0]?.spans ?? []
  assert.deepEqual(first?.['status'], { code: 2, message: 'nothing listens' })
  assert.equal(first['kind'], 2)
  assert.match(String(first['startTimeUnixNano']), /^\d{16}000$/)
})

test('spans that find no room are lost and counted, and those that wait are sent when the collector is back', async t => {
  const { metrics, counts } = recordingMetrics()
  let isAway = true
  const sent: Span[] = []
  let failures = 0
  const receiver: Receiver<Span> = {
    async deliver(take) {
      const spans = await take(512)
      if (isAway) {
        failures += 1
        throw new Error('away')
      }
      sent.push(...spans)
    },
    close() {}
  }
  const queue = new SpanQueue({ receiver, name: 'x', monotonicMs: systemClock.monotonicMs, log: silentLogger, metrics })
  queue.start()
  for (let number = 0; number < MAX_WAITING_SPANS + 10; number += 1) queue.add([SPAN])
  assert.equal(counts.get('warren_spans_total{result="lost"}'), 10)
  await waitFor(() => failures > 0, 'the first failure')
  isAway = false
  await waitFor(() => sent.length === MAX_WAITING_SPANS, 'all that waited')
  queue.add([SPAN])
  await queue.close()
  assert.equal(sent.length, MAX_WAITING_SPANS + 1)
  assert.equal(counts.get('warren_spans_total{result="sent"}'), MAX_WAITING_SPANS + 1)
  t.diagnostic(`${failures} failures`)
})
