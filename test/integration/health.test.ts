import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import test from 'node:test'
import { AgentClient, connect, register } from '../../src/client/index.ts'
import { localCall, type Scope, scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const AS = 'dev.shop.cart.default'

function clientOf(scope: Scope, agent: TestAgent): AgentClient {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  return client
}

async function healths(agent: TestAgent, address = SITE): Promise<string[]> {
  const { services = [] } = JSON.parse(await agent.cli('services', address, '--json')) as {
    services?: Array<{ health: string }>
  }
  return services.map(({ health }) => health).sort()
}

async function becomes(agent: TestAgent, expected: readonly string[]): Promise<void> {
  await waitFor(
    async () => (await healths(agent)).join() === expected.join(),
    `${SITE} on ${agent.name} to be ${expected.join(', ')}`
  )
}

async function tcpServer(scope: Scope, onConnection: (socket: Socket) => void, port = 0): Promise<Server> {
  const server = createServer(socket => {
    // A probe leaves without reading.
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  scope.defer(() => void server.close())
  return server
}

function portOf(server: Server): number {
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

test('a server that goes away is skipped by other hosts, and back when it is', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const server = await tcpServer(scope, socket => void socket.end('hi'))
  const port = portOf(server)
  const exposed = a.spawn(['expose', SITE, '--tcp', `127.0.0.1:${port}`, '--allow', 'dev.*.*.*'])
  await exposed.says(/leads to/, 'stderr')
  await b.knows(SITE)
  await becomes(b, ['passing'])
  const goneMs = performance.now()
  server.close()
  const client = clientOf(scope, b)
  // A connection that fails has the target looked at now instead of at its turn.
  await assert.rejects(connect(SITE, { client, as: AS }), { code: 'DESTINATION_UNREACHABLE' })
  await becomes(b, ['failing'])
  t.diagnostic(`gone to failing elsewhere: ${Math.round(performance.now() - goneMs)} ms, with the commands`)
  await assert.rejects(connect(SITE, { client, as: AS }), { reason: /is failing/ })
  assert.match((await b.attempt(['explain', AS, SITE])).stdout, /not healthy/)
  const backMs = performance.now()
  await tcpServer(scope, socket => void socket.end('hi'), port)
  await becomes(b, ['passing'])
  t.diagnostic(`back to passing elsewhere: ${Math.round(performance.now() - backMs)} ms, with the commands`)
  const socket = await connect(SITE, { client, as: AS })
  assert.equal(String((await once(socket, 'data'))[0]), 'hi')
  socket.destroy()
})

test('a program of the library that stops is skipped, though its socket still takes connections', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const one = agent.spawn(['serve', SITE, '--allow', 'dev.*.*.*'])
  const two = agent.spawn(['serve', SITE, '--allow', 'dev.*.*.*'])
  await Promise.all([one.says(/serving/, 'stderr'), two.says(/serving/, 'stderr')])
  await becomes(agent, ['passing', 'passing'])
  one.signal('SIGSTOP')
  await becomes(agent, ['failing', 'passing'])
  const client = clientOf(scope, agent)
  for (let at = 0; at < 10; at += 1) {
    const socket = await connect(SITE, { client, as: AS })
    socket.end(`to ${at}\n`)
    await once(socket, 'finish')
    socket.destroy()
  }
  await two.says(/#10 .* connected/, 'stderr')
  one.signal('SIGCONT')
  await becomes(agent, ['passing', 'passing'])
  assert.doesNotMatch(one.stderr, /#1 /)
})

test('without health checks nothing connects but flows', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  let connections = 0
  const server = await tcpServer(scope, socket => {
    connections += 1
    socket.end('hi')
  })
  const tcp = `127.0.0.1:${portOf(server)}`
  const client = clientOf(scope, agent)
  await register(SITE, { client, target: { tcp }, whitelist: ['dev.*.*.*'], healthCheck: false })
  const socket = await connect(SITE, { client, as: AS })
  await once(socket.resume(), 'end')
  socket.end()
  assert.equal(connections, 1)
  server.close()
  await assert.rejects(connect(SITE, { client, as: AS }), { code: 'DESTINATION_UNREACHABLE' })
  assert.deepEqual(await healths(agent), ['passing'])
})

test('an unmodified server learns who connects from a PROXY header, and a probe has that of the server itself', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const received: Buffer[] = []
  const probed = Promise.withResolvers<Buffer>()
  const server = await tcpServer(scope, socket => {
    const parts: Buffer[] = []
    socket.on('data', (chunk: Buffer) => void parts.push(chunk))
    socket.on('end', () => {
      const all = Buffer.concat(parts)
      if (all.includes('health-check')) probed.resolve(all)
      else if (all.length > 0) received.push(all)
      socket.end()
    })
  })
  const tcp = `127.0.0.1:${portOf(server)}`
  const exposed = a.spawn(['expose', SITE, '--tcp', tcp, '--proxy-protocol', '--allow', 'dev.*.*.*'])
  await exposed.says(/leads to/, 'stderr')
  await b.knows(SITE)
  const probe = await probed.promise
  assert.equal(probe.subarray(0, 14).toString('hex'), '0d0a0d0a000d0a515549540a2111')
  assert.ok(probe.includes('spiffe://example.org/dev/web/site/default/a'))
  const socket = await connect(SITE, { client: clientOf(scope, b), as: AS })
  socket.end('payload')
  await once(socket.resume(), 'end')
  const [first] = received
  assert.ok(first)
  assert.equal(first.subarray(0, 14).toString('hex'), '0d0a0d0a000d0a515549540a2111')
  const length = first.readUInt16BE(14)
  assert.equal(first.subarray(16 + length).toString(), 'payload')
  assert.ok(first.subarray(16, 16 + length).includes('spiffe://example.org/dev/shop/cart/default/b'))
  const refused = await a.attempt(['expose', SITE, '--udp', '127.0.0.1:53', '--proxy-protocol'])
  assert.match(refused.stderr, /INVALID_OPTION: --proxy-protocol does not go with --udp/)
})

test('a server that binds the path that it is given can have the PROXY header as well', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const registered = JSON.parse(
    await a.cli('register', SITE, '--listen', '--proxy-protocol', '--allow', 'dev.*.*.*', '--pid', String(process.pid))
  ) as { listenPath: string; token: string }
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    const parts: Buffer[] = []
    socket.on('error', () => {}).on('data', (chunk: Buffer) => void parts.push(chunk))
    socket.on('end', () => {
      resolve(Buffer.concat(parts))
      socket.end()
    })
  }).listen(registered.listenPath)
  await once(server, 'listening')
  scope.defer(() => void server.close())
  await b.knows(SITE)
  const socket = await connect(SITE, { client: clientOf(scope, b), as: AS })
  socket.end('payload')
  const all = await promise
  assert.equal(all.subarray(0, 14).toString('hex'), '0d0a0d0a000d0a515549540a2111')
  const length = all.readUInt16BE(14)
  assert.equal(all.subarray(16 + length).toString(), 'payload')
  assert.ok(all.subarray(16, 16 + length).includes('spiffe://example.org/dev/shop/cart/default/b'))
  for (const listen of [{ hello: true }, { protocol: 'PROTOCOL_UDP' }]) {
    const request = { address: 'dev.web.other.default', target: { listen, proxyProtocol: true }, ownerPid: process.pid }
    const { headers } = await localCall(a.socket, 'WorkloadService/Register', request)
    assert.equal(headers['warren-error'], 'INVALID_ARGUMENT')
  }
})
