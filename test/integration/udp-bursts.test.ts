import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'node:test'
import { Program, type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const SINK = 'dev.web.sink.default'
/** One burst of them fits into the receive buffer that a server has by default. */
const LINES = Array.from({ length: 200 }, (_, index) => `<13>app: line ${index} of a service that starts`)

const SINK_SERVER = `
import socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print('listening', flush=True)
while True: print(server.recv(65536).decode(), flush=True)`

const LOGGER = `
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for line in sys.stdin: client.sendto(line.strip().encode(), sys.argv[1])`

async function udpSocket(scope: Scope): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  scope.defer(() => {
    socket.close()
  })
  return socket
}

async function expose(a: TestAgent, b: TestAgent, target: string): Promise<void> {
  await a.spawn(['expose', SINK, '--udp', target]).says(/dev\.web\.sink/)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.knows(SINK)
  await b.follows(a)
}

async function forward(b: TestAgent, ...more: string[]) {
  const program = b.spawn(['forward', SINK, '--udp', '--listen', '127.0.0.1:0', ...more])
  const [, port] = await program.says(/^127\.0\.0\.1:(\d+)$/m)
  return { program, port: Number(port) }
}

test('the first 200 datagrams of a client of forward arrive, though no flow is open', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const server = await udpSocket(scope)
  const received: string[] = []
  server.on('message', line => received.push(String(line)))
  await expose(a, b, `127.0.0.1:${server.address().port}`)
  const { program, port } = await forward(b)
  const client = await udpSocket(scope)
  for (const line of LINES) client.send(line, port, '127.0.0.1')
  await waitFor(() => received.length === LINES.length, 'the lines over UDP')
  assert.deepEqual(new Set(received), new Set(LINES))
  assert.doesNotMatch((await program.stop()).stderr, /dropped/)
})

test('the first 200 lines of a program that logs to a unix socket arrive', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const directory = scope.directory()
  const python = (script: string, at: string) => new Program(scope, ['python3', '-c', script, join(directory, at)])
  const server = python(SINK_SERVER, 'sink')
  await server.says(/^listening$/m)
  await expose(a, b, `unix:${join(directory, 'sink')}`)
  const path = join(directory, 'log')
  await b.spawn(['forward', SINK, '--udp', '--listen', `unix:${path}`]).says(/^unix:/m)
  python(LOGGER, 'log').stdin.end(`${LINES.join('\n')}\n`)
  await server.says(new RegExp(`^${LINES.at(-1)}$`, 'm'))
  assert.deepEqual(server.stdout.trim().split('\n').slice(1), LINES)
})

test('with the preset for DNS the flow of each question ends after its answer, and without it stays', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const server = await udpSocket(scope)
  server.on('message', (question, from) => server.send(question, from.port, from.address))
  await expose(a, b, `127.0.0.1:${server.address().port}`)
  const ask = async (port: number): Promise<void> => {
    const client = await udpSocket(scope)
    const answer = once(client, 'message')
    client.send('question', port, '127.0.0.1')
    await answer
  }
  const flows = async (): Promise<number> => {
    const { flows = [] } = JSON.parse(await b.cli('flows', '--json')) as { flows?: unknown[] }
    return flows.length
  }
  const [plain, dns] = [await forward(b), await forward(b, '--preset', 'dns')]
  await ask(plain.port)
  for (let count = 0; count < 10; count += 1) await ask(dns.port)
  await waitFor(async () => (await flows()) === 1, 'the flows of the questions to end')
  const { code, stderr } = await b.attempt(['forward', SINK, '--listen', '127.0.0.1:0', '--preset', 'dns'])
  assert.notEqual(code, 0)
  assert.match(stderr, /INVALID_OPTION: --idle-timeout and --preset need --udp/)
})

test('a client that is idle for as long as --idle-timeout says is forgotten', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const server = await udpSocket(scope)
  const received: string[] = []
  server.on('message', (_line, from) => received.push(String(from.port)))
  await expose(a, b, `127.0.0.1:${server.address().port}`)
  const { port } = await forward(b, '--idle-timeout', '1s')
  const client = await udpSocket(scope)
  client.send('one', port, '127.0.0.1')
  await waitFor(() => received.length === 1, 'the first datagram')
  await waitFor(async () => !(await b.cli('flows')).includes(SINK), 'its flow to end')
  client.send('two', port, '127.0.0.1')
  await waitFor(() => received.length === 2, 'the next one')
  assert.equal(new Set(received).size, 2)
})
