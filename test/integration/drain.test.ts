import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshSocket } from '../../src/client/index.ts'
import { type Scope, scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const AS = 'dev.shop.cart.default'

function clientOf(scope: Scope, agent: TestAgent): AgentClient {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  return client
}

/** An echo server at `agent` that any workload of its scope may use. */
async function echo(scope: Scope, agent: TestAgent, address = SITE) {
  const client = clientOf(scope, agent)
  return await listen(address, { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
}

async function say(socket: MeshSocket, text: string): Promise<string> {
  const answer = once(socket, 'data')
  socket.write(text)
  return String((await answer)[0])
}

async function healthAt(agent: TestAgent, address: string): Promise<string | undefined> {
  const { services = [] } = JSON.parse(await agent.cli('services', address, '--json')) as {
    services?: Array<{ health: string }>
  }
  return services[0]?.health
}

test('drain: no new connections, the open ones finish, and undo takes it back', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await echo(scope, a)
  await b.knows(SITE)
  const client = clientOf(scope, b)
  const open = await connect(SITE, { client, as: AS })
  assert.equal(await say(open, 'before'), 'before')

  const draining = a.spawn(['drain', '--timeout', '60s'])
  await waitFor(async () => (await healthAt(b, SITE)) === 'draining', 'b to hear that a drains')
  assert.equal((await a.status()).state, 'draining')
  await assert.rejects(connect(SITE, { client, as: AS }), { code: 'DESTINATION_UNREACHABLE', reason: /draining/ })
  await assert.rejects(connect(SITE, { client: clientOf(scope, a), as: AS }), { code: 'DESTINATION_UNREACHABLE' })
  assert.equal(await say(open, 'still'), 'still')
  // Workloads of a drained host can still reach others.
  await echo(scope, b, 'dev.web.other.default')
  await a.knows('dev.web.other.default')
  const outward = await connect('dev.web.other.default', { client: clientOf(scope, a), as: AS })
  assert.ok(!draining.hasEnded)
  open.end()
  const { code, stderr } = await draining.outcome()
  assert.equal(code, 0, stderr)
  assert.match(stderr, /drained: 1 finished, 0 reset; to end the drain: warren drain --undo/)
  assert.equal(await say(outward, 'out'), 'out')
  outward.end()

  await a.cli('drain', '--undo')
  await waitFor(async () => (await healthAt(b, SITE)) === 'passing', 'b to hear that a is back')
  const again = await connect(SITE, { client, as: AS })
  assert.equal(await say(again, 'again'), 'again')
  again.end()
})

test('drain: what is not over in time is reset, and both agents say why', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await echo(scope, a)
  await b.knows(SITE)
  const socket = await connect(SITE, { client: clientOf(scope, b), as: AS })
  assert.equal(await say(socket, 'x'), 'x')
  const failed = once(socket, 'error')
  assert.match((await a.attempt(['drain', '--timeout', '300ms'])).stderr, /drained: 0 finished, 1 reset/)
  await failed
  await a.program.says(/"reason":"drained: not finished within 0\.3 s"/, 'stderr')
  await b.program.says(/"reason":"cut by the other agent: it stops or drains"/, 'stderr')
  assert.match((await a.attempt(['drain', '--undo', '--timeout', '1s'])).stderr, /exclude each other/)
})

test('drain: what is cut meanwhile counts as reset, and not as finished', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await echo(scope, a)
  await b.knows(SITE)
  const client = clientOf(scope, b)
  const [whole, cut] = [
    await connect(SITE, { client, as: AS, explicitEnd: true }),
    await connect(SITE, { client, as: AS, explicitEnd: true })
  ]
  for (const socket of [whole, cut]) assert.equal(await say(socket, 'x'), 'x')
  const draining = a.spawn(['drain', '--timeout', '60s'])
  await waitFor(async () => (await a.status()).state === 'draining', 'the drain')
  // Without an end before it, this is a reset.
  cut.destroy()
  whole.end()
  assert.match((await draining.outcome()).stderr, /drained: 1 finished, 1 reset/)
})

test('drain: an undo answers a drain that still waits, and resets nothing', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  await echo(scope, agent)
  const socket = await connect(SITE, { client: clientOf(scope, agent), as: AS })
  const draining = agent.spawn(['drain', '--timeout', '60s'])
  await waitFor(async () => (await agent.status()).state === 'draining', 'the drain')
  await agent.cli('drain', '--undo')
  assert.match((await draining.outcome()).stderr, /undone, or started again/)
  assert.equal(await say(socket, 'x'), 'x')
  socket.end()
})

test('SIGTERM: what is open may finish, nothing new is accepted, and the agent ends once it is over', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--drain-timeout', '60s'] })
  await echo(scope, a)
  await b.knows(SITE)
  const client = clientOf(scope, b)
  const open = await connect(SITE, { client, as: AS })
  a.program.signal('SIGTERM')
  await waitFor(async () => (await healthAt(b, SITE)) === 'draining', 'b to hear that a drains')
  await assert.rejects(connect(SITE, { client, as: AS }), { code: 'DESTINATION_UNREACHABLE' })
  assert.equal(await say(open, 'last words'), 'last words')
  const ended = once(open, 'end')
  open.end()
  await ended
  assert.equal((await a.program.outcome()).code, 0)
})

test('SIGTERM: what is not over in time is reset with a reason', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--drain-timeout', '300ms'] })
  await echo(scope, a)
  await b.knows(SITE)
  const open = await connect(SITE, { client: clientOf(scope, b), as: AS })
  open.on('error', () => {})
  const closed = new Promise(resolve => open.once('close', resolve))
  const { code, stderr } = await a.stop()
  assert.equal(code, 0)
  assert.match(stderr, /"reason":"drained: not finished within 0\.3 s"/)
  await closed
})

for (const [how, end] of [
  ['told to stop', (agent: TestAgent) => agent.stop()],
  ['killed', (agent: TestAgent) => agent.kill()]
] as const) {
  test(`the library is there again after its agent was ${how} and started, in both roles`, async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope)
    const server = await echo(scope, a)
    const client = clientOf(scope, b)
    const first = await connect(SITE, { client, as: AS })
    assert.equal(await say(first, 'one'), 'one')
    first.destroy()
    const before = server.registration?.token ?? ''
    await Promise.all([end(a), end(b)])
    await a.start([])
    // On other ports than before, of which b cannot know.
    await b.start(['--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
    await server.registration?.renewed(before, AbortSignal.timeout(30_000))
    await b.knows(SITE)
    // The same objects, nothing made anew.
    const second = await waitFor(
      () => connect(SITE, { client, as: AS, timeoutMs: 5_000 }),
      'a connection after the restart'
    )
    assert.equal(await say(second, 'two'), 'two')
    second.end()
  })
}
