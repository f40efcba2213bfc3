import assert from 'node:assert/strict'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { AgentClient, type ConnectionListener, createConnection, listen } from '../../src/client/index.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { FakeAgent } from './fake-agent.ts'

const SERVER = 'dev.web.echo.default'
const AS = 'dev.shop.cart.default'

async function setUp(t: TestContext, onConnection: ConnectionListener) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  await listen(SERVER, { client, whitelist: ['dev.*.*.*'] }, onConnection)
  return { agent, client, options: { client, as: AS } }
}

const echo: ConnectionListener = socket => void socket.on('error', () => {}).pipe(socket)

test('a connection takes bytes before it is connected, says when it is, and who is there', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection(SERVER, { ...options, allowHalfOpen: true })
  assert.equal(connection.connecting, true)
  connection.end('early')
  await once(connection, 'connect')
  assert.equal(connection.connecting, false)
  assert.equal(connection.peer?.address, `${SERVER}.m1`)
  assert.equal(await text(connection), 'early')
})

test('a megabyte passes a reader that comes late and pauses', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection(SERVER, { ...options, allowHalfOpen: true })
  connection.end(Buffer.alloc(1 << 20, 'x'))
  await once(connection, 'connect')
  let bytes = 0
  for await (const chunk of connection) {
    bytes += (chunk as Buffer).length
    await new Promise(setImmediate)
  }
  assert.equal(bytes, 1 << 20)
})

test('the end of the other side ends it, as that of a net.Socket', async t => {
  const { options } = await setUp(t, socket => void socket.end('bye'))
  const connection = createConnection(SERVER, options)
  assert.equal(await text(connection), 'bye')
  if (!connection.closed) await once(connection, 'close')
})

test('a failure to connect is an error event with the code', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection('dev.web.nobody.default', options)
  const [err] = await once(connection, 'error')
  assert.equal(err.code, ErrorCode.DestinationNotFound)
  assert.equal(connection.destroyed, true)
})

test('a connection that is destroyed before it is connected closes without an error', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection(SERVER, options)
  connection.on('error', err => assert.fail(err))
  connection.destroy()
  await once(connection, 'close')
})

test('a signal ends the attempt with its reason', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection(SERVER, { ...options, signal: AbortSignal.abort(new Error('changed my mind')) })
  const [err] = await once(connection, 'error')
  assert.match(String(err), /changed my mind/)
})

test('a cut is an error of the connection', async t => {
  const { agent, options } = await setUp(t, echo)
  const connection = createConnection(SERVER, options)
  await once(connection, 'connect')
  connection.write('x')
  await once(connection, 'data')
  agent.cut()
  const [err] = await once(connection, 'error')
  assert.match(err.code, /STREAM_TRUNCATED|ECONNRESET|EPIPE/)
})

test('a connection without bytes emits timeout', async t => {
  const { options } = await setUp(t, echo)
  const connection = createConnection(SERVER, options)
  await once(connection, 'connect')
  await once(connection.setTimeout(20), 'timeout')
  assert.equal(connection.destroyed, false)
  connection.destroy()
})
