import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import test from 'node:test'
import { type Scope, scopeOf, startPair, waitFor } from '../harness/index.ts'

interface Span {
  readonly machine: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code: number; readonly message?: string }
  readonly attributes: readonly Attribute[]
}

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}

interface Request {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly Omit<Span, 'machine'>[] }>
  }>
}

function textOf(attributes: readonly Attribute[], key: string): string {
  return attributes.find(one => one.key === key)?.value.stringValue ?? ''
}

/** A collector that keeps the spans of all requests. */
async function collector(scope: Scope): Promise<{ readonly spans: Span[]; readonly url: string }> {
  const spans: Span[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk.toString()
    })
    request.on('end', () => {
      assert.equal(request.url, '/v1/traces')
      for (const { resource, scopeSpans } of (JSON.parse(body) as Request).resourceSpans) {
        const machine = textOf(resource.attributes, 'host.name')
        spans.push(...scopeSpans.flatMap(one => one.spans.map(span => ({ ...span, machine }))))
      }
      response.end('{}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  scope.defer(() => server.closeAllConnections())
  const { port } = server.address() as { port: number }
  return { spans, url: `http://127.0.0.1:${port}` }
}

test('the opening of a flow is one trace with the steps of both agents, and a refused one has the reason', async t => {
  const scope = scopeOf(t)
  const { spans, url } = await collector(scope)
  const [a, b] = await startPair(scope, { args: ['--otlp', url] })
  await a.allow('dev.cli.*.*', 'dev.web.*.*')
  await b.follows(a)
  const server = b.spawn(['serve', 'dev.web.site.default'])
  await a.knows('dev.web.site.default')
  const client = a.spawn(['connect', 'dev.web.site.default', '--as', 'dev.cli.me.default'])
  client.stdin.write('hello\n')
  await server.says(/hello/)
  client.stdin.end()
  await a.attempt(['connect', 'dev.web.site.default', '--as', 'dev.other.me.default'])

  const isOpening = ({ name, status }: Span): boolean => name === 'open flow' && status.code === 0
  const source = await waitFor(() => spans.find(isOpening), 'the span of the source')
  const destination = await waitFor(
    () => spans.find(({ name, parentSpanId }) => name === 'accept flow' && parentSpanId === source.spanId),
    'the span of the destination'
  )
  assert.deepEqual([source.machine, destination.machine], ['a', 'b'])
  assert.equal(destination.traceId, source.traceId)
  assert.equal(textOf(source.attributes, 'warren.source'), 'dev.cli.me.default.a')
  assert.equal(textOf(source.attributes, 'warren.destination'), 'dev.web.site.default.b')
  assert.equal(textOf(source.attributes, 'warren.rule'), 'r1')
  const stepsBelow = ({ spanId }: Span) =>
    spans.filter(span => span.parentSpanId === spanId && span.name !== 'accept flow').map(({ name }) => name)
  assert.deepEqual(stepsBelow(source), ['choose instance', 'get session', 'ask agent'])
  assert.deepEqual(stepsBelow(destination), ['check source', 'connect target'])
  for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
    assert.ok(BigInt(startTimeUnixNano) <= BigInt(endTimeUnixNano))
  }
  const refused = await waitFor(() => spans.find(({ status }) => status.code === 2), 'the refused flow')
  assert.equal(textOf(refused.attributes, 'error.type'), 'UNAUTHORIZED')
  assert.match(await a.cli('metrics'), /warren_spans_total\{result="sent"\} [1-9]/)
  await server.stop()
  await client.outcome()
})
