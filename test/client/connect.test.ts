import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { createServer, get } from 'node:http'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import {
  AgentClient,
  type ConnectionListener,
  connect,
  listen,
  MeshHttpAgent,
  type Peer
} from '../../src/client/index.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { until } from '../api/support.ts'
import { FakeAgent, hello } from './fake-agent.ts'

const SERVER = 'dev.web.echo.default'
const AS = 'dev.shop.cart.default'

const echo: ConnectionListener = socket => {
  socket.on('error', () => {})
  socket.pipe(socket)
}

async function setUp(t: TestContext, onConnection: ConnectionListener = echo) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const server = await listen(SERVER, { client, whitelist: ['dev.*.*.*'] }, onConnection)
  return { agent, client, server }
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

test('a client and a server talk, and each learns who the other is', async t => {
  const peers: Peer[] = []
  const { client, server } = await setUp(t, (socket, peer) => {
    peers.push(peer)
    echo(socket, peer)
  })
  const socket = await connect(SERVER, { client, as: AS })
  socket.end('hello')
  assert.equal(await readAll(socket), 'hello')
  assert.equal(socket.peer.spiffeId, `spiffe://example.org/dev/web/echo/default/m1`)
  assert.equal(socket.peer.address, server.address)
  assert.deepEqual(
    peers.map(({ address }) => address),
    [`${AS}.m1`]
  )
})

test('a half-closed client still receives the reply', async t => {
  const { client } = await setUp(t, async socket => {
    // Not with readAll: a loop over a socket destroys it at its end.
    const [request] = await once(socket, 'data')
    await once(socket, 'end')
    socket.end(`reply to ${request}`)
  })
  const socket = await connect(SERVER, { client, as: AS })
  socket.end('question')
  assert.equal(await readAll(socket), 'reply to question')
})

test('a megabyte arrives whole in both directions', async t => {
  const { client } = await setUp(t)
  const socket = await connect(SERVER, { client, as: AS })
  const sent = 'x'.repeat(1 << 20)
  socket.end(sent)
  assert.equal((await readAll(socket)).length, sent.length)
})

test('bytes sent right behind the hello reach a listener that attaches at once', async t => {
  const { client } = await setUp(t, socket => socket.end('banner'))
  const socket = await connect(SERVER, { client, as: AS })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end')
  socket.end()
  assert.equal(Buffer.concat(chunks).toString(), 'banner')
})

test('a connection that is cut is an error for its reader, not a clean end', async t => {
  const cuts: Promise<unknown>[] = []
  const { agent, client } = await setUp(t, socket => cuts.push(readAll(socket)))
  const socket = await connect(SERVER, { client, as: AS })
  const read = readAll(socket)
  await until(() => cuts.length === 1)
  const failed = Promise.all(
    [read, ...cuts].map(reading => assert.rejects(reading, { code: ErrorCode.StreamTruncated }))
  )
  agent.cut()
  await failed
})

test('only this user can connect to the path of a listener, and it is gone after close', async t => {
  const { server } = await setUp(t)
  const path = server.registration?.listenPath ?? ''
  assert.equal(statSync(path).mode & 0o777, 0o600)
  await server.close()
  assert.ok(!existsSync(path))
  assert.equal((await server.closed()).reason, 'closed')
})

test('connections of one source share its registration and its endpoint', async t => {
  const { agent, client } = await setUp(t)
  const sockets = await Promise.all([1, 2, 3].map(() => connect(SERVER, { client, as: AS })))
  sockets.push(await connect(SERVER, { client, as: AS }))
  assert.deepEqual(agent.addresses().sort(), [`${AS}.m1`, `${SERVER}.m1`])
  assert.ok(agent.countOf('connect') <= 3)
  for (const socket of sockets) {
    socket.end('x')
    assert.equal(await readAll(socket), 'x')
  }
})

test('a source is deregistered some time after its last connection, and made again when needed', async t => {
  const { agent, client } = await setUp(t)
  for (let round = 0; round < 2; round += 1) {
    const socket = await connect(SERVER, { client, as: AS })
    socket.destroy()
    await until(() => !agent.addresses().includes(`${AS}.m1`))
  }
  assert.equal(agent.countOf('register'), 3)
})

test('closing the client ends its sources and listeners at once', async t => {
  const { agent, client } = await setUp(t)
  const socket = await connect(SERVER, { client, as: AS })
  await client.close()
  assert.deepEqual(agent.addresses(), [])
  socket.destroy()
})

test('an endpoint that is gone is asked for again', async t => {
  const { agent, client } = await setUp(t)
  const first = await connect(SERVER, { client, as: AS })
  agent.reap()
  const second = await connect(SERVER, { client, as: AS })
  second.end('still works')
  assert.equal(await readAll(second), 'still works')
  assert.equal(agent.countOf('connect'), 2)
  first.destroy()
})

test('after a restart of the agent both ends work again by themselves', async t => {
  const { agent, client, server } = await setUp(t)
  const before = await connect(SERVER, { client, as: AS })
  before.on('error', () => {})
  const stale = server.registration?.token ?? ''
  await agent.stop()
  await agent.start()
  await server.registration?.renewed(stale, t.signal)
  const after = await connect(SERVER, { client, as: AS })
  after.end('again')
  assert.equal(await readAll(after), 'again')
})

test('the error of the agent is the error of connect, whether it comes early or in the hello', async t => {
  const { agent, client } = await setUp(t)
  await assert.rejects(connect('dev.web.nobody.default', { client, as: AS }), {
    code: ErrorCode.DestinationNotFound,
    reason: 'nobody is dev.web.nobody.default'
  })
  agent.firstBytes = hello({ error: { code: 'UNAUTHORIZED', reason: 'denied by rule r1' } })
  await assert.rejects(connect(SERVER, { client, as: AS }), {
    code: ErrorCode.Unauthorized,
    reason: 'denied by rule r1'
  })
})

test('a hello that is cut short, too large or garbage is an error', async t => {
  const { agent, client } = await setUp(t)
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from([0, 0]),
    Buffer.alloc(8, 0xff),
    Buffer.from([0, 0, 0, 2, 0xff, 0xff])
  ]) {
    agent.firstBytes = bytes
    await assert.rejects(connect(SERVER, { client, as: AS }), { name: 'WarrenError' })
  }
  agent.firstBytes = undefined
  const socket = await connect(SERVER, { client, as: AS })
  socket.destroy()
})

test('connect gives up when its signal aborts or its time is over', async t => {
  const { agent, client } = await setUp(t)
  const never = Promise.withResolvers<void>()
  agent.onRegister = () => never.promise
  await assert.rejects(connect(SERVER, { client, as: 'dev.a.b.c', timeoutMs: 20 }), { code: ErrorCode.Timeout })
  const stop = new AbortController()
  const failed = assert.rejects(connect(SERVER, { client, as: 'dev.a.b.d', signal: stop.signal }), /enough/)
  stop.abort(new Error('enough'))
  await failed
  never.resolve()
})

test('a server that nobody listens to on this side destroys the connection', async t => {
  const { client, server } = await setUp(t)
  server.removeAllListeners('connection')
  const socket = await connect(SERVER, { client, as: AS })
  assert.equal(await readAll(socket), '')
})

test('http requests go through the mesh', async t => {
  const web = createServer((request, response) => response.end(`${request.headers.host} ${request.url}`))
  const { client } = await setUp(t, socket => web.emit('connection', socket))
  const request = get({ host: SERVER, path: '/a?b', agent: new MeshHttpAgent({ client, as: AS }) })
  const [response] = await once(request, 'response')
  assert.match(await readAll(response), /^dev\.web\.echo\.default.* \/a\?b$/)
  const nobody = get({ host: 'dev.web.nobody.default', agent: new MeshHttpAgent({ client, as: AS }) })
  const [err] = await once(nobody, 'error')
  assert.equal(err.code, ErrorCode.DestinationNotFound)
})

test('a server notices a cut also after the client has ended its side', async t => {
  const { agent, client } = await setUp(t)
  const cut = Promise.withResolvers<unknown>()
  const ended = Promise.withResolvers<void>()
  await listen('dev.web.waiting.default', { client }, socket => {
    socket.on('error', cut.reject).on('end', ended.resolve).resume()
  })
  const socket = await connect('dev.web.waiting.default', { client })
  socket.on('error', () => {}).end('that is all')
  await ended.promise
  agent.cut()
  await assert.rejects(cut.promise, { code: ErrorCode.StreamTruncated })
})
