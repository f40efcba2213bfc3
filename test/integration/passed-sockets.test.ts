import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, closeSync, openSync, readdirSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import test from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { datagramDescriptorOf, descriptorOf, ErrorCode, WarrenError } from '../../src/core/index.ts'
import { loadPassing } from '../../src/listeners/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { asRoot, at, Program, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const CLIENT = 'dev.shop.cart.default'
const { TCP, UDP } = apiPb.Protocol
const OTHER = 61_236

async function start(scope: Scope, ...more: string[]) {
  const args = ['--init', 'example.org', ...more]
  const agent = await new TestAgent(scope, { name: 'solo', args }).start(args)
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  return { agent, client }
}

async function pass(client: AgentClient, path: string, descriptors: readonly number[]): Promise<Socket> {
  const calls = await loadPassing()
  assert.ok(calls !== undefined)
  const connection = client.dial(path)
  connection.on('error', () => {})
  await once(connection, 'connect')
  if (descriptors.length > 0) calls.send(descriptorOf(connection), descriptors)
  else connection.write('x')
  return connection
}

async function listenOn(client: AgentClient, path: string, protocol: apiPb.Protocol): Promise<void> {
  const request = { path, source: CLIENT, destination: SITE, protocol }
  for await (const { event } of client.workload.listen(request)) {
    assert.equal(event.case, 'listening')
    return
  }
}

async function offer(client: AgentClient, descriptors: readonly number[], protocol = TCP): Promise<void> {
  const { path } = await client.workload.prepareListener({})
  const connection = await pass(client, path, descriptors)
  try {
    await listenOn(client, path, protocol)
  } finally {
    connection.destroy()
  }
}

async function listening(scope: Scope, host: string): Promise<Server> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  scope.defer(async () => void server.close())
  return server
}

async function udp(scope: Scope, connected: boolean): Promise<UdpSocket> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  scope.defer(async () => void socket.close())
  if (!connected) return socket
  socket.connect(9, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

const openFiles = ({ pid }: TestAgent): number => readdirSync(`/proc/${pid}/fd`).length
const refusal = (reason: RegExp) => (err: unknown) => {
  assert.ok(WarrenError.is(err, ErrorCode.InvalidArgument), String(err))
  assert.match(err.reason, reason)
  return true
}

test('a descriptor that is no listener is refused, and the agent keeps none of them', async t => {
  const scope = scopeOf(t)
  const { agent, client } = await start(scope)
  const file = openSync(import.meta.filename, 'r')
  scope.defer(async () => closeSync(file))
  const [one, other] = [await listening(scope, '127.0.0.1'), await listening(scope, '127.0.0.1')]
  const [port] = [one.address() as { port: number }]
  const connected = connect({ host: '127.0.0.1', port: port.port })
  await once(connected, 'connect')
  scope.defer(async () => void connected.destroy())
  const [bound, tied] = [await udp(scope, false), await udp(scope, true)]
  const fd = (socket: UdpSocket): number => datagramDescriptorOf(socket)() ?? -1
  await offer(client, [descriptorOf(one)])
  await offer(client, [fd(bound)], UDP)
  await waitFor(() => agent.endpointFiles().length === 0, 'the sockets of these to be removed')
  const before = openFiles(agent)
  const cases = [
    [[file], TCP, /is no socket$/],
    [[file], UDP, /is no socket$/],
    [[], TCP, /^no descriptor was passed$/],
    [[descriptorOf(connected)], TCP, /no listener for TCP or unix connections$/],
    [[fd(bound)], TCP, /no listener for TCP or unix connections$/],
    [[descriptorOf(one)], UDP, /no bound UDP socket$/],
    [[fd(tied)], UDP, /is connected$/],
    [[descriptorOf(one), descriptorOf(other)], TCP, /^two sockets of one family/],
    [[descriptorOf(one), file], TCP, /is no socket$/]
  ] as const
  for (const [descriptors, protocol, reason] of cases) {
    await assert.rejects(offer(client, descriptors, protocol), refusal(reason), String(reason))
  }
  await waitFor(() => openFiles(agent) <= before, 'the agent to close what it was passed')
})

test('more descriptors than a listener has are refused', async t => {
  const scope = scopeOf(t)
  const { agent, client } = await start(scope)
  const { path } = await client.workload.prepareListener({})
  const before = openFiles(agent)
  const script = `
import socket, sys
listeners = [socket.create_server(('127.0.0.1', 0)) for _ in range(200)]
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
socket.send_fds(connection, [b'x'], [one.fileno() for one in listeners])
print('sent', flush=True)
connection.recv(1)`
  const sender = new Program(scope, ['python3', '-c', script, path])
  await sender.says(/^sent$/m)
  await assert.rejects(listenOn(client, path, TCP), refusal(/more descriptors were passed/))
  await sender.outcome()
  await waitFor(() => openFiles(agent) <= before, 'the agent to close what it was passed')
})

test('a path for a listener works once, and a user has as many as the limit says', async t => {
  const scope = scopeOf(t)
  const { client } = await start(scope, '--limit', 'proxy_listeners_per_uid=2')
  const server = await listening(scope, '127.0.0.1')
  const { path } = await client.workload.prepareListener({})
  const connection = await pass(client, path, [descriptorOf(server)])
  const events = client.workload.listen({ path, source: CLIENT, destination: SITE })[Symbol.asyncIterator]()
  assert.equal((await events.next()).value?.event.case, 'listening')
  await assert.rejects(listenOn(client, path, TCP), { code: ErrorCode.NotFound })
  await client.workload.prepareListener({})
  await assert.rejects(client.workload.prepareListener({}), { code: ErrorCode.LimitExceeded })
  // The end of the connection ends the listener, and gives its place back.
  connection.destroy()
  while ((await events.next()).done !== true);
  await client.workload.prepareListener({})
})

test(
  'another user can neither pass a listener at a path of somebody else, nor have one that somebody else passed',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const { agent, client } = await start(scope)
    chmodSync(dirname(agent.runtimeDir), 0o755)
    const call = (method: string, body: object): Promise<string> => {
      const url = `http://localhost/warren.api.v1.WorkloadService/${method}`
      const json = ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]
      const argv = ['curl', '--silent', '--show-error', '--unix-socket', agent.socket, ...json, url]
      return new Program(scope, at({ uid: OTHER }, argv)).outcome().then(({ stdout }) => stdout)
    }
    // Root can open every path: the agent sees who it is.
    const { path: theirs } = JSON.parse(await call('PrepareListener', {})) as { path: string }
    const connection = client.dial(theirs).on('error', () => {})
    await new Promise<void>(
      resolve =>
        void connection
          .resume()
          .once('end', resolve)
          .once('close', () => resolve())
    )
    await assert.rejects(listenOn(client, theirs, TCP), { code: ErrorCode.NotFound })
    const { path: mine } = await client.workload.prepareListener({})
    chmodSync(mine, 0o666)
    const script = `
      const socket = require('node:net').connect(process.argv[1])
      socket.on('error', err => console.log(err.code)).on('close', () => console.log('closed')).resume()`
    const intruder = new Program(scope, at({ uid: OTHER }, [process.execPath, '-e', script, mine]))
    const { stdout, stderr } = await intruder.outcome()
    assert.match(stdout, /^(ECONNRESET\n)?closed$/m, stderr)
    // It is still there for its user.
    const server = await listening(scope, '127.0.0.1')
    await pass(client, mine, [descriptorOf(server)])
    await listenOn(client, mine, TCP)
  }
)
