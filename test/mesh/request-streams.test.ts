import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { streamPair } from '@libp2p/utils'
import { silentLogger, silentMetrics, systemClock, WarrenError } from '../../src/core/index.ts'
import { peerKeyOf } from '../../src/identity/index.ts'
import { RequestServer } from '../../src/mesh/requests/request-server.ts'
import { RequestStreams } from '../../src/mesh/requests/request-streams.ts'
import { until } from './support.ts'

const PEER = peerKeyOf(new Uint8Array(32).fill(7))
const never = new AbortController().signal

function pair(t: TestContext) {
  const stopping = new AbortController()
  t.after(() => stopping.abort())
  const deps = { log: silentLogger, clock: systemClock, metrics: silentMetrics, onUse: () => {} }
  const server = new RequestServer(deps, stopping.signal)
  const opened: Stream[] = []
  const streams = new RequestStreams(async () => {
    const [near, far] = await streamPair()
    opened.push(near as Stream)
    const connection = { remotePeer: peerIdFromString(PEER) } as Connection
    server.serve(far as Stream, connection).catch((err: Error) => far.abort(err))
    return near as Stream
  })
  const ask = (text: string, protocol = 'echo') => streams.ask(PEER, protocol, Buffer.from(text), 1_000, never)
  return { server, streams, opened, ask }
}

const SIZES = { maxRequestBytes: 1_000, maxResponseBytes: 1_000 }

test('requests one after another share a stream, whatever their protocol', async t => {
  const { server, opened, ask } = pair(t)
  server.handle('echo', async (_, request) => request, SIZES)
  server.handle('shout', async (_, request) => Buffer.from(`${Buffer.from(request)}!`), SIZES)
  for (let round = 0; round < 20; round += 1) {
    assert.equal(Buffer.from(await ask('a')).toString(), 'a')
    assert.equal(Buffer.from(await ask('b', 'shout')).toString(), 'b!')
  }
  assert.equal(opened.length, 1)
})

test('requests at once have a stream each, never wait for one another, and two streams are kept', async t => {
  const { server, opened, ask } = pair(t)
  const gate = Promise.withResolvers<void>()
  server.handle('echo', async (_, request) => request, SIZES)
  server.handle('slow', () => gate.promise.then(() => new Uint8Array()), SIZES)
  const slow = Array.from({ length: 5 }, () => ask('x', 'slow'))
  await until(() => opened.length === 5)
  assert.equal(Buffer.from(await ask('quick')).toString(), 'quick')
  gate.resolve()
  await Promise.all(slow)
  await until(() => opened.filter(({ status }) => status === 'open').length === 2)
})

test('a stream that its host ended is not asked again', async t => {
  const { server, opened, ask } = pair(t)
  server.handle('echo', async (_, request) => request, SIZES)
  await ask('one')
  opened[0]!.abort(new Error('the connection is gone'))
  assert.equal(Buffer.from(await ask('two')).toString(), 'two')
  assert.equal(opened.length, 2)
})

test('after a failure the next request has a stream of its own', async t => {
  const { server, opened, ask } = pair(t)
  server.handle('echo', async (_, request) => request, SIZES)
  server.handle(
    'fail',
    async () => {
      throw new WarrenError('NOT_READY', 'not yet')
    },
    SIZES
  )
  await assert.rejects(ask('x', 'fail'), { code: 'NOT_READY' })
  await assert.rejects(ask('x', 'unheard of'), { code: 'UNSUPPORTED' })
  await assert.rejects(ask('x'.repeat(1_001)))
  assert.equal(Buffer.from(await ask('after')).toString(), 'after')
  assert.equal(opened.length, 4)
})

test('a host that sends what nobody asked for is not asked again on that stream', async () => {
  const opened: Stream[] = []
  const streams = new RequestStreams(async () => {
    const [near, far] = await streamPair()
    opened.push(near as Stream)
    // An answer, and another that would be taken for that of the next request.
    const answer = Buffer.from([0, 0, 0, 2, 0, 0x61])
    far.addEventListener('message', () => far.send(Buffer.concat([answer, answer])), { once: true })
    return near as Stream
  })
  const ask = () => streams.ask(PEER, 'echo', new Uint8Array(), 100, never)
  await ask()
  await ask()
  assert.equal(opened.length, 2)
})

test('stopping ends the streams that are kept', async t => {
  const { server, streams, opened, ask } = pair(t)
  server.handle('echo', async (_, request) => request, SIZES)
  await ask('x')
  streams.stop()
  await until(() => opened[0]?.status !== 'open')
})
