import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { AgentClient, type ConnectionListener, forward, listen } from '../../src/client/index.ts'
import { ErrorCode, type WarrenError } from '../../src/core/index.ts'
import { FakeAgent } from './fake-agent.ts'

const SERVER = 'dev.web.echo.default'
const AS = 'dev.shop.cart.default'

async function setUp(t: TestContext, onConnection: ConnectionListener) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  await listen(SERVER, { client, whitelist: ['dev.*.*.*'] }, onConnection)
  return { agent, client }
}

const echo: ConnectionListener = socket => void socket.on('error', () => {}).pipe(socket)

test('connections to the path reach the destination, only for this user, until it is closed', async t => {
  const { client } = await setUp(t, echo)
  const local = await forward(SERVER, { client, as: AS })
  assert.equal(statSync(dirname(local.path)).mode & 0o777, 0o700)
  for (const word of ['one', 'two']) {
    const socket = connect({ path: local.path, allowHalfOpen: true })
    socket.end(word)
    assert.equal(await text(socket), word)
  }
  const open = connect(local.path)
  open.write('x')
  await once(open, 'data')
  await local.close()
  await once(open, 'close')
  assert.equal(existsSync(dirname(local.path)), false)
  await local.close()
})

test('a connection that cannot be made closes, and the program learns why', async t => {
  const { client } = await setUp(t, echo)
  const failed = Promise.withResolvers<WarrenError>()
  await using local = await forward('dev.web.later.default', { client, as: AS, onError: failed.resolve })
  await once(
    connect(local.path).on('error', () => {}),
    'close'
  )
  assert.equal((await failed.promise).code, ErrorCode.DestinationNotFound)
  await listen('dev.web.later.default', { client, whitelist: ['dev.*.*.*'] }, echo)
  const socket = connect({ path: local.path, allowHalfOpen: true })
  socket.end('now')
  assert.equal(await text(socket), 'now')
})

test('a cut of the connection closes that of the client, and the program learns of it', async t => {
  const { agent, client } = await setUp(t, echo)
  const failed = Promise.withResolvers<WarrenError>()
  await using local = await forward(SERVER, { client, as: AS, onError: failed.resolve })
  const socket = connect(local.path).on('error', () => {})
  socket.write('x')
  await once(socket, 'data')
  agent.cut()
  await once(socket, 'close')
  assert.equal((await failed.promise).code, ErrorCode.StreamTruncated)
})

test('a client that is destroyed ends the connection at the server', async t => {
  const closed = Promise.withResolvers<void>()
  const { client } = await setUp(t, socket => {
    // The agent of this test notices who is gone when it writes.
    const timer = setInterval(() => socket.write('tick'), 10)
    socket
      .on('error', () => {})
      .once('close', () => {
        clearInterval(timer)
        closed.resolve()
      })
    socket.resume()
  })
  await using local = await forward(SERVER, { client, as: AS })
  const socket = connect(local.path)
  await once(socket, 'data')
  socket.destroy()
  await closed.promise
})

test('without an agent it rejects before there is a path', async () => {
  await using client = new AgentClient({ runtimeDir: '/nonexistent' })
  await assert.rejects(forward(SERVER, { client }), { code: ErrorCode.AgentNotRunning })
})
