import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { until } from '../api/support.ts'
import { FakeAgent } from '../client/fake-agent.ts'
import { type Program, scopeOf, warren } from '../harness/index.ts'

const ADDRESS = 'dev.web.echo.default'

async function setUp(t: TestContext) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const run = (...args: string[]): Program => warren(scopeOf(t), args, {}, agent.runtimeDir)
  return { agent, client, run }
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  // Not by iterating, which would destroy the socket at the end of its input.
  socket.on('data', chunk => {
    text += String(chunk)
  })
  await once(socket, 'end')
  return text
}

test('connect sends its input, ends it, and prints what comes after that', async t => {
  const { client, run } = await setUp(t)
  await listen(ADDRESS, { client }, async socket => {
    const request = await readAll(socket)
    socket.end(`got ${request}`)
  })
  const program = run('connect', ADDRESS)
  program.stdin.end('hello')
  const { code, stdout, stderr } = await program.outcome()
  assert.equal(code, 0)
  assert.equal(stdout, 'got hello')
  assert.equal(stderr, `warren: connected to ${ADDRESS}.m1\n`)
})

test('connect goes on sending after the other end has ended its side', async t => {
  const { client, run } = await setUp(t)
  const received = Promise.withResolvers<string>()
  await listen(ADDRESS, { client }, socket => {
    socket.end('first word')
    readAll(socket).then(received.resolve, received.reject)
  })
  const program = run('connect', ADDRESS)
  await program.says(/first word/)
  program.stdin.end('last word')
  assert.equal(await received.promise, 'last word')
  assert.equal((await program.outcome()).code, 0)
})

test('connect carries 32 MB each way unharmed', async t => {
  const { client, run } = await setUp(t)
  await listen(ADDRESS, { client }, socket => void socket.pipe(socket))
  const program = run('connect', ADDRESS, '--quiet')
  const sent = Buffer.alloc(32 * 1024 * 1024, 'warren')
  program.stdin.end(sent)
  const { code, stdout } = await program.outcome()
  assert.equal(code, 0)
  assert.ok(sent.equals(Buffer.from(stdout)))
})

test('connect fails, and says so, when the connection is cut', async t => {
  const { agent, client, run } = await setUp(t)
  await listen(ADDRESS, { client }, socket => {
    socket.on('error', () => {}).write('so far so good')
  })
  const program = run('connect', ADDRESS)
  await program.says(/so good/)
  agent.cut()
  const { code, stderr } = await program.outcome()
  assert.equal(code, 1)
  assert.match(stderr, /^warren: STREAM_TRUNCATED: /m)
})

test('connect notices a cut also after the other end has ended its side', async t => {
  const { agent, client, run } = await setUp(t)
  await listen(ADDRESS, { client }, socket => {
    socket.on('error', () => {}).end('all I have to say')
  })
  const program = run('connect', ADDRESS)
  await program.says(/to say/)
  agent.cut()
  const { code, stderr } = await program.outcome()
  assert.equal(code, 1)
  assert.match(stderr, /^warren: STREAM_TRUNCATED: /m)
})

test('connect to nobody fails with the answer of the agent', async t => {
  const { run } = await setUp(t)
  const program = run('connect', 'dev.none.none.none')
  const { code, stdout, stderr } = await program.outcome()
  assert.equal(code, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^warren: DESTINATION_NOT_FOUND: nobody is dev\.none\.none\.none\n/)
})

test('connect registers as the user, in the scope of the destination, unless it is told another name', async t => {
  const { client, run } = await setUp(t)
  const peers: string[] = []
  await listen(ADDRESS, { client }, (socket, peer) => {
    peers.push(peer.address)
    socket.resume().end()
  })
  for (const args of [[], ['--as', 'dev.shop.cart.default']]) {
    const program = run('connect', ADDRESS, ...args)
    program.stdin.end()
    assert.equal((await program.outcome()).code, 0)
  }
  assert.match(peers[0] ?? '', /^dev\.user\.[^.]+\.default\.m1$/)
  assert.equal(peers[1], 'dev.shop.cart.default.m1')
})

test('serve prints what it receives and answers everybody who is connected', async t => {
  const { agent, client, run } = await setUp(t)
  const program = run('serve', ADDRESS, '--allow', 'dev.*.*.*')
  await program.says(/^warren: serving dev\.web\.echo\.default\.m1$/m, 'stderr')
  const as = 'dev.shop.cart.default'
  const [one, two] = await Promise.all([connect(ADDRESS, { client, as }), connect(ADDRESS, { client, as })])
  one.write('hello from one\n')
  await program.says(/^hello from one$/m)
  await program.says(/#2 dev\.shop\.cart\.default\.m1 connected/, 'stderr')
  program.stdin.write('hello all\n')
  for (const socket of [one, two]) assert.equal(String((await once(socket, 'data'))[0]), 'hello all\n')
  one.end()
  await program.says(/#\d dev\.shop\.cart\.default\.m1 sent its last, 15 bytes in all/, 'stderr')
  // The end of its input is the end of its side of each connection.
  program.stdin.end('bye\n')
  assert.equal(await readAll(two), 'bye\n')
  // Its own side is still open when the server goes: that is a cut.
  two.on('error', () => {})

  const server = [...agent.registrations.values()].find(({ address }) => address === `${ADDRESS}.m1`)
  assert.deepEqual(server?.request.whitelist, ['dev.*.*.*'])
  const { code, stdout } = await program.stop()
  assert.equal(code, 0)
  assert.equal(stdout, 'hello from one\n')
  await until(() => !agent.addresses().some(address => address.startsWith(ADDRESS)))
})

test('serve fails, and says so, when the agent ends its registration', async t => {
  const { agent, run } = await setUp(t)
  const program = run('serve', ADDRESS)
  await program.says(/serving/, 'stderr')
  await until(() => agent.countOf('keep') === 1)
  agent.end(`${ADDRESS}.m1`, 'evicted')
  const { code, stderr } = await program.outcome()
  assert.equal(code, 1)
  assert.match(stderr, /INVALID_SOURCE: the agent ended the registration: evicted/)
})

test('expose registers each target until it is ended, and then deregisters', async t => {
  const { agent, run } = await setUp(t)
  const args = ['--tcp', '127.0.0.1:8080', '--unix', '/run/app.sock', '--allow', 'dev.*.*.*', '--label', 'v=2']
  const program = run('expose', ADDRESS, ...args)
  await program.says(/leads to \/run\/app\.sock/, 'stderr')
  const requests = [...agent.registrations.values()].map(({ request }) => request)
  assert.deepEqual(
    requests.map(({ target }) => target?.kind),
    [
      { case: 'tcp', value: '127.0.0.1:8080' },
      { case: 'unix', value: '/run/app.sock' }
    ]
  )
  assert.deepEqual([requests[0]?.whitelist, requests[0]?.labels], [['dev.*.*.*'], { v: '2' }])
  const { code, stdout } = await program.stop()
  assert.equal(code, 0)
  assert.equal(stdout, `${ADDRESS}.m1\n${ADDRESS}.m1\n`)
  assert.equal(agent.countOf('deregister'), 2)
  assert.deepEqual(agent.addresses(), [])
})

test('expose survives a restart of the agent', async t => {
  const { agent, run } = await setUp(t)
  const program = run('expose', ADDRESS, '--tcp', '127.0.0.1:8080', '--json')
  const [line] = await program.says(/^\{.*\}$/m)
  assert.equal((JSON.parse(line) as { address: string }).address, `${ADDRESS}.m1`)
  await until(() => agent.countOf('keep') === 1)
  await agent.stop()
  await program.says(/registration lost/, 'stderr')
  await agent.start()
  await program.says(/registered again/, 'stderr')
  assert.deepEqual(agent.addresses(), [`${ADDRESS}.m1`])
  assert.equal((await program.stop()).code, 0)
})
