import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Scope, scopeOf, waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { certificateIn, pushLog, upTo } from './push-support.ts'
import { FLOW, openLog, PEER } from './support.ts'

interface Taken {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A collector that answers each request with the next of these statuses, and with the last one from then on. */
async function collect(
  scope: Scope,
  statuses: readonly number[],
  {
    tls,
    answer = '{}'
  }: { readonly tls?: { readonly cert: string; readonly key: string }; readonly answer?: string } = {}
): Promise<{ readonly port: number; readonly taken: Taken[]; readonly refused: Taken[] }> {
  const [taken, refused]: [Taken[], Taken[]] = [[], []]
  let next = 0
  const listener: RequestListener = (request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk.toString()
    })
    request.on('end', () => {
      const status = statuses[Math.min(next, statuses.length - 1)] ?? 200
      next += 1
      const one = { path: request.url ?? '', headers: request.headers, body }
      if (status === 200) taken.push(one)
      else refused.push(one)
      response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {}).end(answer)
    })
  }
  const server =
    tls === undefined
      ? createHttp(listener)
      : createHttps({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  scope.defer(() => server.closeAllConnections())
  const { port } = server.address() as { port: number }
  return { port, taken, refused }
}

function seqsOf(taken: readonly Taken[]): number[] {
  return taken.flatMap(({ body }) =>
    body
      .split('\n')
      .slice(0, -1)
      .map(line => (JSON.parse(line) as { seq: number }).seq)
  )
}

describe('an audit log that is pushed over HTTP', { concurrency: true }, () => {
  test('is at a webhook in batches of lines, with the token of a file, which is read anew', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const pki = certificateIn(scope)
    const { port, taken, refused } = await collect(scope, [401, 200], { tls: pki })
    const token = join(directory, 'token')
    writeFileSync(token, 'old-secret\n', { mode: 0o600 })
    const to = [`https://127.0.0.1:${port}/in?k=v#ca=${pki.ca}&token=${token}`]
    const push = pushLog({ scope, path, audit, to })
    await waitFor(() => push.status[0]?.problem !== '', 'the refusal')
    assert.equal(push.status[0]?.problem, 'the receiver answered 401. Write another token into its file.')
    writeFileSync(token, 'new-secret\n')
    audit.add('flow-opened', FLOW)
    await audit.close()
    await waitFor(() => seqsOf(taken).length === 3, 'the lines')
    await push.close()
    assert.equal(refused[0]?.headers.authorization, 'Bearer old-secret')
    const [first] = taken
    assert.equal(first?.path, '/in?k=v')
    assert.equal(first?.headers.authorization, 'Bearer new-secret')
    assert.equal(first?.headers['content-type'], 'application/x-ndjson')
    assert.equal(first?.headers['warren-machine'], 'a')
    assert.equal(first?.headers['warren-trust-domain'], 'example.org')
    assert.equal(first?.headers['warren-peer'], PEER)
    assert.equal(taken.map(({ body }) => body).join(''), readFileSync(path, 'utf8'))
    assert.equal(push.status[0]?.target, `https://127.0.0.1:${port}`)
  })

  test('is sent in smaller batches to a receiver for which they are too large', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const { port, taken, refused } = await collect(scope, [413, 413, 200])
    const { metrics, counts } = recordingMetrics()
    const push = pushLog({ scope, path, audit, to: [`otlp+http://127.0.0.1:${port}`], metrics })
    for (let number = 0; number < 255; number += 1) audit.add('flow-opened', FLOW)
    await waitFor(() => push.status[0]?.behind === 0, 'all lines to be pushed')
    const sizes = [...refused, ...taken].map(one => recordsIn(one).length)
    assert.deepEqual(sizes.slice(0, 3), [256, 128, 64])
    assert.deepEqual(taken.flatMap(recordsIn).map(seqOf), upTo(256))
    assert.equal(counts.get('warren_audit_push_failures_total{target="1"}'), 2)
    await audit.close()
  })

  test('is log records at a collector of OTLP, and those that it refuses are counted', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    const answer = JSON.stringify({ partialSuccess: { rejectedLogRecords: '1', errorMessage: 'too old' } })
    const { port, taken } = await collect(scope, [200], { answer })
    const { metrics, counts } = recordingMetrics()
    const push = pushLog({ scope, path, audit, to: [`otlp+http://127.0.0.1:${port}/otlp`], metrics })
    audit.add('flow-refused', { ...FLOW, code: 'UNAUTHORIZED', reason: 'no rule allows it' })
    await waitFor(() => push.status[0]?.through === 2, 'the lines')
    const [request] = taken
    assert.equal(request?.path, '/otlp/v1/logs')
    assert.equal(request?.headers['content-type'], 'application/json')
    assert.deepEqual(parsed(request).resourceLogs[0]?.resource.attributes, [
      { key: 'service.name', value: { stringValue: 'warren' } },
      { key: 'service.version', value: { stringValue: '1.0.0' } },
      { key: 'host.name', value: { stringValue: 'a' } },
      { key: 'warren.trust_domain', value: { stringValue: 'example.org' } },
      { key: 'warren.peer', value: { stringValue: PEER } }
    ])
    const record = taken.flatMap(recordsIn).find(({ eventName }) => eventName === 'warren.flow-refused')
    const line = readFileSync(path, 'utf8').split('\n')[1] ?? ''
    assert.equal(record?.body.stringValue, line)
    assert.equal(record.timeUnixNano, `${Date.parse((JSON.parse(line) as { at: string }).at)}000000`)
    assert.deepEqual([record.severityNumber, record.severityText], [13, 'WARN'])
    const attributes = new Map(record.attributes.map(({ key, value }) => [key, value]))
    assert.deepEqual(attributes.get('warren.seq'), { intValue: '2' })
    assert.deepEqual(attributes.get('warren.source'), { stringValue: FLOW.source })
    assert.deepEqual(attributes.get('warren.sourceProcess'), { stringValue: JSON.stringify(FLOW.sourceProcess) })
    assert.equal(counts.get('warren_audit_push_skipped_total{target="1"}'), taken.length)
    await audit.close()
  })

  test('is not led elsewhere by a receiver, nor stopped by one that answers without an end', async t => {
    const scope = scopeOf(t)
    const directory = scope.directory()
    const path = join(directory, 'audit.log')
    const audit = await openLog(path)
    scope.defer(() => audit.close())
    const leading = await collect(scope, [302])
    const endless = await collect(scope, [200], { answer: 'x'.repeat(100_000) })
    const to = [`otlp+http://127.0.0.1:${leading.port}`, `otlp+http://127.0.0.1:${endless.port}`]
    const push = pushLog({ scope, path, audit, to })
    await waitFor(() => push.status.every(({ problem }) => problem !== ''), 'both failures')
    assert.match(push.status[0]?.problem ?? '', /answered 302\. It is not followed elsewhere/)
    assert.match(push.status[1]?.problem ?? '', /a body of more than 65536 bytes/)
    assert.equal(push.status[0]?.through, 0)
  })
})

test('a token that others may read is refused at the start', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const path = join(directory, 'audit.log')
  const audit = await openLog(path)
  scope.defer(() => audit.close())
  const token = join(directory, 'token')
  writeFileSync(token, 'secret')
  chmodSync(token, 0o644)
  const to = [`https://collector.example#token=${token}`]
  assert.throws(() => pushLog({ scope, path, audit, to }), { code: 'STATE_UNUSABLE' })
  chmodSync(token, 0o600)
  writeFileSync(token, 'two words')
  assert.throws(
    () => pushLog({ scope, path, audit, to }),
    (err: Error) => !err.message.includes('two words')
  )
})

interface LogRecord {
  readonly timeUnixNano: string
  readonly severityNumber: number
  readonly severityText: string
  readonly eventName: string
  readonly body: { readonly stringValue: string }
  readonly attributes: readonly Attribute[]
}

interface Attribute {
  readonly key: string
  readonly value: unknown
}

interface LogsRequest {
  readonly resourceLogs: ReadonlyArray<{
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeLogs: ReadonlyArray<{ readonly logRecords: readonly LogRecord[] }>
  }>
}

function parsed(one: Taken | undefined): LogsRequest {
  return JSON.parse(one?.body ?? '') as LogsRequest
}

function recordsIn(one: Taken): readonly LogRecord[] {
  return parsed(one).resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
}

function seqOf({ body }: LogRecord): number {
  return (JSON.parse(body.stringValue) as { seq: number }).seq
}
