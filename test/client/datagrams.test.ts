import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { AgentClient, connect, type DatagramListener, listen, type MeshDatagramSocket } from '../../src/client/index.ts'
import { FakeAgent } from './fake-agent.ts'

const SERVER = 'dev.dns.resolver.default'
const AS = 'dev.shop.cart.default'

const echo: DatagramListener = socket => {
  socket.on('message', payload => void socket.send(payload))
}

async function setUp(t: TestContext, onConnection: DatagramListener = echo) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  // The agent of a test ends before its sockets do.
  const quiet = <S extends MeshDatagramSocket>(socket: S): S => socket.on('error', () => {})
  const server = await listen(SERVER, { client, protocol: 'udp' }, (socket, peer) => onConnection(quiet(socket), peer))
  const open = async () => quiet(await connect(SERVER, { client, as: AS, protocol: 'udp' }))
  return { agent, client, server, open }
}

async function next(socket: MeshDatagramSocket): Promise<string> {
  const [payload] = await once(socket, 'message')
  return String(payload)
}

test('datagrams go to and fro whole, and each side learns who the other is', async t => {
  const { server, open } = await setUp(t, (socket, peer) => {
    socket.on('message', payload => void socket.send(`${peer.address}: ${payload}`))
  })
  const socket = await open()
  assert.equal(socket.peer.address, server.address)
  socket.send('one')
  socket.send(Buffer.from('two'))
  const received: string[] = []
  for await (const payload of socket) {
    received.push(String(payload))
    if (received.length === 2) break
  }
  assert.deepEqual(received, [`${AS}.m1: one`, `${AS}.m1: two`])
  await socket.close()
})

test('what arrives before anybody listens waits', async t => {
  const { open } = await setUp(t, socket => void socket.send('early'))
  const socket = await open()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(await next(socket), 'early')
})

test('the largest datagram passes and a larger one throws MESSAGE_TOO_LARGE', async t => {
  const { open } = await setUp(t)
  const socket = await open()
  const largest = randomBytes(65_507)
  assert.equal(socket.send(largest), true)
  const [payload] = await once(socket, 'message')
  assert.ok(largest.equals(payload))
  assert.throws(() => socket.send(Buffer.alloc(65_508)), { name: 'WarrenError', code: 'MESSAGE_TOO_LARGE' })
})

test('send drops instead of queueing without bound, and says so', async t => {
  const { open } = await setUp(t, () => {})
  const socket = await open()
  const payload = Buffer.alloc(60_000)
  let dropped = 0
  for (let index = 0; index < 200; index += 1) if (!socket.send(payload)) dropped += 1
  assert.ok(dropped > 100, `${dropped} dropped`)
  assert.equal(socket.dropped, dropped)
})

test('a reader of the iterator that stops reading holds no more than its bound, and loses nothing to its own agent', async t => {
  const count = 2_000
  const { open } = await setUp(t, async socket => {
    for (let index = 0; index < count; ) {
      if (socket.send(`${index}`)) index += 1
      else await new Promise(resolve => setTimeout(resolve, 1))
    }
  })
  const socket = await open()
  let expected = 0
  for await (const payload of socket) {
    assert.equal(String(payload), `${expected}`)
    expected += 1
    if (expected % 500 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    if (expected === count) break
  }
})

test('an end by the other side ends the iteration', async t => {
  const { open } = await setUp(t, socket => {
    socket.send('last')
    void socket.close()
  })
  const received: string[] = []
  for await (const payload of await open()) received.push(String(payload))
  assert.deepEqual(received, ['last'])
})

test('a flow that is cut fails with FLOW_CUT, as an event and in the iteration', async t => {
  const { agent, open } = await setUp(t)
  const [one, other] = [await open(), await open()]
  const cut = { name: 'WarrenError', code: 'FLOW_CUT' }
  const failed = once(one, 'error')
  const iterated = (async () => {
    for await (const _ of other) assert.fail('nothing was sent')
  })()
  agent.cut()
  await assert.rejects(iterated, cut)
  const [err] = await failed
  assert.equal(err.code, cut.code)
  assert.equal(one.send('late'), false)
})

test('close resolves, again and again, and sends what was sent before', async t => {
  const received = Promise.withResolvers<string>()
  const { open } = await setUp(t, socket => {
    socket.on('message', payload => received.resolve(String(payload)))
  })
  const socket = await open()
  socket.send('just in time')
  await Promise.all([socket.close(), socket.close()])
  await socket.close()
  assert.equal(await received.promise, 'just in time')
})

test('TCP and UDP of one destination do not share an endpoint', async t => {
  const { agent, client, open } = await setUp(t)
  const datagrams = await open()
  const bytes = await connect(SERVER, { client, as: AS })
  assert.equal(agent.countOf('connect'), 2)
  bytes.on('error', () => {}).destroy()
  await datagrams.close()
})
