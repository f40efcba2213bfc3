import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { AgentClient, connectionEnd, connect as connectTo, listen } from '../../src/client/index.ts'
import { type Program, type Scope, scopeOf, settled, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
/** More than what a flow carries before it moves to a connection of its own, and than what waits on its way. */
const MUCH_BYTES = 8 * 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 7)

/** A connection at a server or a client: what it has read, and how its reading ended. */
class Half {
  readonly socket: Socket
  readonly ended: Promise<string>
  bytes = 0

  constructor(socket: Socket) {
    this.socket = socket
    const { promise, resolve } = Promise.withResolvers<string>()
    this.ended = promise
    socket.on('data', chunk => {
      this.bytes += chunk.length
    })
    socket.once('end', () => resolve('end'))
    socket.on('error', err => resolve('code' in err ? String(err.code) : String(err)))
  }

  async outcome(): Promise<string> {
    return await settled(this.ended, 'the end of a connection', 15_000)
  }
}

interface SetUp {
  readonly a: TestAgent
  readonly b: TestAgent
  readonly forward: Program
  readonly listening: Server
  /** A client of forward, and its connection at the server. */
  readonly open: () => Promise<{ readonly client: Half; readonly server: Half }>
}

/** A server on a, which `expose` leads to, and a client of `forward` on b. */
async function setUp(scope: Scope, kind: 'tcp' | 'unix'): Promise<SetUp> {
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  const listening = createServer({ allowHalfOpen: true })
  scope.defer(() => void listening.close())
  const path = join(scope.directory(), 'server.sock')
  if (kind === 'tcp') listening.listen(0, '127.0.0.1')
  else listening.listen(path)
  await once(listening, 'listening')
  const target = kind === 'tcp' ? `127.0.0.1:${(listening.address() as AddressInfo).port}` : path
  await a.spawn(['expose', SITE, `--${kind}`, target, '--no-health-check']).says(/dev\.web\.site/)
  await b.knows(SITE)
  await b.follows(a)
  const forward = b.spawn(['forward', SITE, '--listen', '127.0.0.1:0'])
  const [, port] = await forward.says(/^127\.0\.0\.1:(\d+)$/m)
  const open = async () => {
    const accepted = once(listening, 'connection')
    const socket = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true })
    scope.defer(() => void socket.destroy())
    const client = new Half(socket)
    socket.write('hello')
    const [other] = (await accepted) as [Socket]
    scope.defer(() => void other.destroy())
    const server = new Half(other)
    await waitFor(() => server.bytes === 5, 'the greeting')
    return { client, server }
  }
  return { a, b, forward, listening, open }
}

async function send(from: Half, to: Half, bytes: number): Promise<void> {
  const before = to.bytes
  for (let sent = 0; sent < bytes; sent += PIECE.length) {
    if (!from.socket.write(PIECE)) await once(from.socket, 'drain')
  }
  await waitFor(() => to.bytes - before >= bytes, 'what was sent to arrive')
}

test('a reset by a client of forward is a reset at a server on TCP, and never the end of its upload', async t => {
  const { open } = await setUp(scopeOf(t), 'tcp')
  const [small, large, finished] = [await open(), await open(), await open()]
  await send(large.client, large.server, MUCH_BYTES)
  small.client.socket.resetAndDestroy()
  large.client.socket.resetAndDestroy()
  assert.equal(await small.server.outcome(), 'ECONNRESET')
  assert.equal(await large.server.outcome(), 'ECONNRESET')
  // What a client ends in order, it may also close.
  finished.client.socket.end('last words')
  assert.equal(await finished.server.outcome(), 'end')
  finished.server.socket.end('answer')
  assert.equal(await finished.client.outcome(), 'end')
  assert.deepEqual([finished.server.bytes, finished.client.bytes], [15, 6])
})

test('a reset by a server is a reset at the client of forward', async t => {
  const { open } = await setUp(scopeOf(t), 'tcp')
  const { client, server } = await open()
  await send(server, client, MUCH_BYTES)
  server.socket.resetAndDestroy()
  assert.equal(await client.outcome(), 'ECONNRESET')
})

test('a forward that is killed leaves no half of a transfer that looks whole, in either direction', async t => {
  const { forward, open } = await setUp(scopeOf(t), 'tcp')
  const [upload, download] = [await open(), await open()]
  await send(upload.client, upload.server, MUCH_BYTES)
  // Its request has ended in order, and the answer is under way.
  download.client.socket.end()
  assert.equal(await download.server.outcome(), 'end')
  await send(download.server, download.client, MUCH_BYTES)
  await forward.kill()
  assert.equal(await upload.server.outcome(), 'ECONNRESET')
  assert.equal(await upload.client.outcome(), 'ECONNRESET')
  assert.equal(await download.client.outcome(), 'ECONNRESET')
})

test('an agent of the server that is killed leaves no half of a transfer that looks whole', async t => {
  const { a, open } = await setUp(scopeOf(t), 'tcp')
  const upload = await open()
  await send(upload.client, upload.server, MUCH_BYTES)
  await a.kill()
  assert.equal(await upload.server.outcome(), 'ECONNRESET')
  assert.equal(await upload.client.outcome(), 'ECONNRESET')
})

test('a client that has ended its request gets a reset where its answer is cut, whichever agent is killed', async t => {
  for (const name of ['a', 'b'] as const) {
    const { open, ...agents } = await setUp(scopeOf(t), 'tcp')
    const [cut, whole] = [await open(), await open()]
    for (const { client, server } of [cut, whole]) {
      client.socket.end()
      assert.equal(await server.outcome(), 'end')
      await send(server, client, MUCH_BYTES)
    }
    whole.server.socket.end('answered')
    assert.equal(await whole.client.outcome(), 'end')
    await agents[name].kill()
    assert.equal(await cut.client.outcome(), 'ECONNRESET', `the agent ${name} was killed`)
  }
})

test('a client that resets after the server has ended its own direction is a reset at the server', async t => {
  const { open } = await setUp(scopeOf(t), 'tcp')
  const { client, server } = await open()
  server.socket.end('go on')
  assert.equal(await client.outcome(), 'end')
  await send(client, server, MUCH_BYTES)
  client.socket.resetAndDestroy()
  assert.equal(await server.outcome(), 'ECONNRESET')
})

test('a server on a unix socket can tell a cut from an end: a write of no bytes fails with EPIPE', async t => {
  const { open, a } = await setUp(scopeOf(t), 'unix')
  const [cut, whole] = [await open(), await open()]
  whole.client.socket.end()
  assert.equal(await whole.server.outcome(), 'end')
  const probe = (half: Half) => new Promise(resolve => half.socket.write('', err => resolve(err ?? 'none')))
  assert.equal(await probe(whole.server), 'none')
  await a.cli('deny', 'dev.*.*.*', 'dev.*.*.*')
  assert.equal(await cut.server.outcome(), 'end')
  assert.equal(((await probe(cut.server)) as NodeJS.ErrnoException).code, 'EPIPE')
  assert.equal(await cut.client.outcome(), 'ECONNRESET')
})

test('the ends of a connection that is cut are told why, and can ask', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const [there, here] = [a, b].map(agent => new AgentClient({ runtimeDir: agent.runtimeDir })) as [
    AgentClient,
    AgentClient
  ]
  for (const client of [there, here]) scope.defer(() => client.close())
  const rule = /r\d+/.exec(await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*'))?.[0] ?? ''
  await b.follows(a)
  const failed = Promise.withResolvers<Error>()
  await listen(SITE, { client: there }, socket => void socket.on('error', failed.resolve).resume())
  await b.knows(SITE)
  const as = 'dev.shop.cart.default'
  const [whole, cut] = [await connectTo(SITE, { client: here, as }), await connectTo(SITE, { client: here, as })]
  for (const socket of [whole, cut]) socket.on('error', () => {}).resume()
  const { flowId } = cut.peer
  assert.equal((await connectionEnd(flowId, { client: here })).state, 'open')
  whole.end()
  const error = once(cut, 'error')
  await a.cli('policy', 'remove', rule)
  const [err] = (await error) as [Error]
  assert.match(err.message, /^STREAM_TRUNCATED: the connection was cut before its end: .*no longer allowed/)
  assert.match((await failed.promise).message, /cut before its end: .*no longer allowed/)
  for (const client of [here, there]) {
    const end = await connectionEnd(flowId, { client })
    assert.deepEqual([end.state, end.kind], ['cut', 'policy'])
    assert.match(end.reason, /no longer allowed/)
  }
  assert.equal((await connectionEnd('0123456789abcdef', { client: here })).state, 'unknown')
})
