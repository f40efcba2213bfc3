import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { AgentClient, connectionEnd, listen, type Peer } from '../../src/client/index.ts'
import { growPortBuffers } from '../../src/udp/index.ts'
import {
  asRoot,
  Program,
  type Scope,
  scopeOf,
  settled,
  startPair,
  TestAgent,
  WARREN,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const CLIENT = 'dev.shop.cart.default'

/** An agent with a server that says what it has read once that has ended, and the flows that it had. */
async function startEcho(scope: Scope, ...more: string[]) {
  const args = ['--init', 'example.org', ...more]
  const agent = await new TestAgent(scope, { name: 'solo', args }).start(args)
  return { agent, ...(await serveEcho(scope, agent)) }
}

async function serveEcho(scope: Scope, { runtimeDir }: TestAgent) {
  const client = new AgentClient({ runtimeDir })
  scope.defer(() => client.close())
  const peers: Peer[] = []
  await listen(SITE, { client, whitelist: ['dev.*.*.*'] }, (socket, peer) => {
    peers.push(peer)
    socket.on('error', () => {})
    let request = ''
    socket.setEncoding('utf8').on('data', piece => {
      request += String(piece)
    })
    socket.once('end', () => socket.end(`got ${request}`))
  })
  return { client, peers }
}

function dial(scope: Scope, at: NetConnectOpts): Socket {
  const socket = connect({ ...at, allowHalfOpen: true })
  scope.defer(() => void socket.destroy())
  return socket
}

async function exchange(socket: Socket, request: string): Promise<string> {
  socket.end(request)
  let answer = ''
  for await (const piece of socket.setEncoding('utf8')) answer += String(piece)
  return answer
}

async function portOf(forward: Program): Promise<number> {
  const [, port] = await forward.says(/^(?:127\.0\.0\.1|localhost):(\d+)$/m)
  return Number(port)
}

test('clients of forward are served while its process stands still, on TCP and on a unix socket', async t => {
  const scope = scopeOf(t)
  const { agent } = await startEcho(scope)
  const path = join(scope.directory(), 'app.sock')
  const onTcp = agent.spawn(['forward', SITE, '--listen', 'localhost:0', '--as', CLIENT])
  const onPath = agent.spawn(['forward', SITE, '--listen', `unix:${path}`, '--as', CLIENT])
  const port = await portOf(onTcp)
  await onPath.says(/^unix:/m)
  for (const { pid } of [onTcp, onPath]) process.kill(pid, 'SIGSTOP')
  const places = [{ host: '127.0.0.1', port }, { host: '::1', port }, { path }]
  const answers = await Promise.all(
    places.map(async (at, index) => await exchange(dial(scope, at), `request ${index}`))
  )
  assert.deepEqual(answers, ['got request 0', 'got request 1', 'got request 2'])
})

test('the flows of a forward that is killed are reset with the reason, and its port is free', async t => {
  const scope = scopeOf(t)
  const { agent, client, peers } = await startEcho(scope)
  const forward = agent.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
  const port = await portOf(forward)
  const socket = dial(scope, { host: '127.0.0.1', port })
  socket.write('half a request')
  await waitFor(() => peers.length === 1, 'the connection at the server')
  const reset = once(socket.resume(), 'error')
  await forward.kill()
  const [err] = await settled(reset, 'the reset of the client', 15_000)
  assert.equal((err as NodeJS.ErrnoException).code, 'ECONNRESET')
  const end = await connectionEnd(peers[0]?.flowId ?? '', { client })
  assert.equal(end.state, 'cut')
  assert.match(end.reason, /^(the command that owns its listener has ended|.*process ended.*)$/)
  const refused = once(dial(scope, { host: '127.0.0.1', port }), 'connect')
  await assert.rejects(refused, { code: 'ECONNREFUSED' })
})

test('a forward that ends leaves its port free for the next one at once', async t => {
  const scope = scopeOf(t)
  const { agent } = await startEcho(scope)
  const first = agent.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
  const port = await portOf(first)
  assert.equal((await first.stop()).code, 0)
  const second = agent.spawn(['forward', SITE, '--listen', `127.0.0.1:${port}`, '--as', CLIENT])
  assert.equal(await portOf(second), port)
  assert.equal(await exchange(dial(scope, { host: '127.0.0.1', port }), 'hello'), 'got hello')
})

test('a client that comes while the agent restarts is served by the next one', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await serveEcho(scope, a)
  await b.knows(SITE)
  const forward = b.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
  const at = { host: '127.0.0.1', port: await portOf(forward) }
  assert.equal(await exchange(dial(scope, at), 'one'), 'got one')
  await b.kill()
  const waiting = dial(scope, at)
  await once(waiting, 'connect')
  const answer = exchange(waiting, 'two')
  answer.catch(() => {})
  await b.start([])
  assert.equal(await answer, 'got two', forward.stderr)
  process.kill(forward.pid, 'SIGSTOP')
  assert.equal(await exchange(dial(scope, at), 'three'), 'got three')
})

test('5,000 datagrams in a burst arrive, while the process of forward stands still', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const sink = createSocket('udp4').bind(0, '127.0.0.1')
  scope.defer(async () => void sink.close())
  await once(sink, 'listening')
  growPortBuffers(sink, 16 * 1024 * 1024)
  const arrived = new Set<string>()
  sink.on('message', payload => arrived.add(String(payload)))
  await a.spawn(['expose', SITE, '--udp', `127.0.0.1:${sink.address().port}`]).says(/^dev\./m)
  await a.allow(CLIENT, SITE)
  await b.knows(SITE)
  await b.follows(a)
  const forward = b.spawn(['forward', SITE, '--udp', '--listen', '127.0.0.1:0', '--as', CLIENT])
  const port = await portOf(forward)
  process.kill(forward.pid, 'SIGSTOP')
  const client = createSocket('udp4')
  scope.defer(async () => void client.close())
  const send = (line: string): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    client.send(line, port, '127.0.0.1', err => (err === null ? resolve() : reject(err)))
    return promise
  }
  const lines = Array.from({ length: 5_000 }, (_, index) => `shop.requests:${index}|c`)
  for (const line of lines) await send(line)
  await waitFor(() => arrived.size === lines.length, 'all of them', 20_000).catch(() => {})
  assert.equal(arrived.size, lines.length)
})

test('a forward in a network of its own has its listener there', asRoot, async t => {
  const scope = scopeOf(t)
  const { agent } = await startEcho(scope)
  const own = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
  const command = [process.execPath, WARREN, 'forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT]
  const forward = new Program(scope, [...own, ...command], { env: { WARREN_RUNTIME_DIR: agent.runtimeDir } })
  const port = await portOf(forward)
  process.kill(forward.pid, 'SIGSTOP')
  const script = `
import socket
client = socket.create_connection(('127.0.0.1', ${port}))
client.sendall(b'from there')
client.shutdown(socket.SHUT_WR)
print(client.makefile().read())`
  const there = new Program(scope, ['nsenter', `--net=/proc/${forward.pid}/ns/net`, 'python3', '-c', script])
  assert.equal((await there.outcome()).stdout.trim(), 'got from there')
  const here = once(dial(scope, { host: '127.0.0.1', port }), 'connect')
  await assert.rejects(here, { code: 'ECONNREFUSED' })
})

test('a forward beyond the limit of its user carries the bytes itself, and says so', async t => {
  const scope = scopeOf(t)
  const { agent } = await startEcho(scope, '--limit', 'proxy_listeners_per_uid=1')
  const first = agent.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
  await portOf(first)
  const second = agent.spawn(['forward', SITE, '--listen', '127.0.0.1:0', '--as', CLIENT])
  const port = await portOf(second)
  await second.says(/carries the bytes: LIMIT_EXCEEDED: listeners of this user: the limit of 1 is reached/, 'stderr')
  assert.equal(await exchange(dial(scope, { host: '127.0.0.1', port }), 'hello'), 'got hello')
  await first.stop()
  // Another attempt comes within five seconds.
  await waitFor(async () => {
    process.kill(second.pid, 'SIGSTOP')
    const answer = await settled(exchange(dial(scope, { host: '127.0.0.1', port }), 'x'), 'an answer', 500).catch(
      () => ''
    )
    process.kill(second.pid, 'SIGCONT')
    return answer === 'got x'
  }, 'the agent to take the listener')
})
