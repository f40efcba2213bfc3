import assert from 'node:assert/strict'
import test from 'node:test'
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace'
import type { Receiver } from '../../src/collectors/index.ts'
import { type Clock, ErrorCode, silentLogger, systemClock } from '../../src/core/index.ts'
import type { FlowTracer } from '../../src/proxy/index.ts'
import { traceIdOf } from '../../src/traces/flow-ids.ts'
import { flowTracer } from '../../src/traces/flow-tracer.ts'
import { rejectedIn, spansRequest } from '../../src/traces/otlp-json.ts'
import { openFlowSpans } from '../../src/traces/provider.ts'
import { MAX_WAITING_SPANS, SpanQueue } from '../../src/traces/span-queue.ts'
import { FLOW, PEER } from '../audit/support.ts'
import { waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

const HOST = { machine: 'a', trustDomain: 'example.org', peer: PEER, version: '1.0.0' }

/** A clock whose wall time stands, and whose monotonic time the test moves. */
function handClock(): Clock & { ms: number } {
  const clock = { ms: 5_000, wallMs: () => 1_000, monotonicMs: () => clock.ms }
  return clock
}

/** A tracer of a host, and its spans in the order in which they end. */
function recordingTracer(clock: Clock): { readonly tracer: FlowTracer; readonly spans: ReadableSpan[] } {
  const spans: ReadableSpan[] = []
  const processor: SpanProcessor = {
    onStart() {},
    onEnd: span => void spans.push(span),
    forceFlush: async () => {},
    shutdown: async () => {}
  }
  return { tracer: flowTracer(clock, openFlowSpans(HOST, processor)), spans }
}

function oneSpan(): ReadableSpan {
  const { tracer, spans } = recordingTracer(systemClock)
  tracer.begin('f0', 'outbound').ended(FLOW)
  assert.ok(spans[0] !== undefined)
  return spans[0]
}

test('the openings of a flow at both agents are one trace, that of the destination below that of the source', () => {
  const clock = handClock()
  const { tracer, spans } = recordingTracer(clock)
  const outbound = tracer.begin('f0', 'outbound')
  outbound.step('choose instance')
  clock.ms += 2
  outbound.step('get session', 'b')
  clock.ms += 10.5
  outbound.ended(FLOW)
  const other = recordingTracer(clock)
  other.tracer.begin('f0', 'inbound').ended({ ...FLOW, direction: 'inbound' })
  const [source, choose, session] = spans
  const [destination] = other.spans
  assert.ok(source && choose && session && destination)
  const all = [source, choose, session, destination]
  assert.deepEqual([...new Set(all.map(span => span.spanContext().traceId))], [traceIdOf('f0')])
  assert.equal(new Set(all.map(span => span.spanContext().spanId)).size, all.length)
  assert.match(traceIdOf('f0'), /^[0-9a-f]{32}$/)
  assert.notEqual(traceIdOf('f1'), traceIdOf('f0'))
  const { spanId } = source.spanContext()
  assert.match(spanId, /^[0-9a-f]{16}$/)
  assert.deepEqual([source.name, source.kind, source.parentSpanContext], ['open flow', SpanKind.CLIENT, undefined])
  assert.deepEqual(
    [source.startTime, source.endTime],
    [
      [1, 0],
      [1, 12_500_000]
    ]
  )
  assert.deepEqual([choose.name, choose.kind, choose.endTime], ['choose instance', SpanKind.INTERNAL, [1, 2_000_000]])
  assert.deepEqual([session.name, session.startTime, session.endTime], ['get session', [1, 2_000_000], [1, 12_500_000]])
  for (const step of [choose, session]) assert.equal(step.parentSpanContext?.spanId, spanId)
  assert.deepEqual([choose.attributes, session.attributes], [{}, { 'warren.machine': 'b' }])
  assert.deepEqual([destination.name, destination.kind], ['accept flow', SpanKind.SERVER])
  assert.equal(destination.parentSpanContext?.spanId, spanId)
})

test('a flow that fails has the failure on its span, and on the step in which it failed', () => {
  const { tracer, spans } = recordingTracer(systemClock)
  const trace = tracer.begin('f0', 'inbound')
  trace.step('check source')
  trace.step('connect target')
  trace.ended({ ...FLOW, direction: 'inbound' }, { code: ErrorCode.DestinationUnreachable, reason: 'nothing listens' })
  const failed = { code: SpanStatusCode.ERROR, message: 'nothing listens' }
  assert.deepEqual(
    spans.map(({ name, status }) => [name, status]),
    [
      ['accept flow', failed],
      ['check source', { code: SpanStatusCode.UNSET }],
      ['connect target', failed]
    ]
  )
  const { resourceSpans } = JSON.parse(spansRequest(spans).toString()) as {
    resourceSpans: { resource: { attributes: unknown[] }; scopeSpans: { spans: Record<string, unknown>[] }[] }[]
  }
  const attributes = resourceSpans[0]?.resource.attributes as { key: string; value: { stringValue: string } }[]
  assert.deepEqual(Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue])), {
    'service.name': 'warren',
    'service.version': '1.0.0',
    'host.name': 'a',
    'warren.trust_domain': 'example.org',
    'warren.peer': PEER
  })
  const [first] = resourceSpans[0]?.scopeSpans[0]?.spans ?? []
  assert.deepEqual(first?.['status'], { code: 2, message: 'nothing listens' })
  assert.equal(first['kind'], 2)
  assert.match(String(first['startTimeUnixNano']), /^\d{16}000$/)
})

test('spans that a collector refuses for ever in an answer 200 are lost, whatever the answer is', async () => {
  const answers: ReadonlyArray<readonly [string, number]> = [
    ['{"partialSuccess":{"rejectedSpans":2}}', 2],
    ['{"partialSuccess":{"rejectedSpans":"1"}}', 1],
    ['{"partialSuccess":{"rejectedSpans":-1}}', 0],
    ['{"partialSuccess":null}', 0],
    ['null', 0],
    ['{}', 0],
    ['', 0],
    ['<html>', 0]
  ]
  for (const [answer, count] of answers) assert.equal(rejectedIn(answer), count, answer)
  const { metrics, counts } = recordingMetrics()
  const receiver: Receiver<ReadableSpan> = {
    async deliver(take) {
      await take(512)
      queue.rejected(rejectedIn(answers[0]?.[0] ?? ''))
    },
    close() {}
  }
  const queue = new SpanQueue({ receiver, name: 'x', monotonicMs: systemClock.monotonicMs, log: silentLogger, metrics })
  queue.start()
  for (let number = 0; number < 3; number += 1) queue.onEnd(oneSpan())
  await queue.shutdown()
  assert.equal(counts.get('warren_spans_total{result="lost"}'), 2)
  assert.equal(counts.get('warren_spans_total{result="sent"}'), 1)
})

test('spans that find no room are lost and counted, and those that wait are sent when the collector is back', async t => {
  const { metrics, counts } = recordingMetrics()
  let isAway = true
  const sent: ReadableSpan[] = []
  let failures = 0
  const receiver: Receiver<ReadableSpan> = {
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
  const span = oneSpan()
  for (let number = 0; number < MAX_WAITING_SPANS + 10; number += 1) queue.onEnd(span)
  assert.equal(counts.get('warren_spans_total{result="lost"}'), 10)
  await waitFor(() => failures > 0, 'the first failure')
  isAway = false
  await waitFor(() => sent.length === MAX_WAITING_SPANS, 'all that waited')
  queue.onEnd(span)
  await queue.shutdown()
  assert.equal(sent.length, MAX_WAITING_SPANS + 1)
  assert.equal(counts.get('warren_spans_total{result="sent"}'), MAX_WAITING_SPANS + 1)
  t.diagnostic(`${failures} failures`)
})
