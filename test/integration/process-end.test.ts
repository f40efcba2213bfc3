import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { dirname } from 'node:path'
import test from 'node:test'
import { AgentClient, listen, register } from '../../src/client/index.ts'
import { localCall, needsCommand, Program, scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

interface Registered {
  readonly token: string
  readonly listenPath?: string
}

async function call(agent: TestAgent, method: string, body: unknown): Promise<unknown> {
  return (await localCall(agent.socket, `WorkloadService/${method}`, body)).body
}

async function isKnown(agent: TestAgent, pattern: string): Promise<boolean> {
  const { services = [] } = (await call(agent, 'ListServices', { pattern })) as { services?: unknown[] }
  return services.length > 0
}

test('the end of a process takes its sockets, references, token and record, here and on the other host', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  // It is reset when the flow is cut.
  const server = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  scope.defer(() => server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await call(a, 'Register', { address: SITE, target: { tcp: `127.0.0.1:${port}` } })
  await b.knows(SITE)

  // Nothing but the process holds this registration: no connection, and a day to live without a heartbeat.
  const sleeper = new Program(scope, ['sleep', '600'])
  const input = { address: SHOP, target: { listen: {} }, ttlMs: 86_400_000, ownerPid: sleeper.pid }
  const { token, listenPath = '' } = (await call(b, 'Register', input)) as Registered
  const opened = (await call(b, 'Connect', { token, destination: SITE })) as { path?: string }
  assert.ok(opened.path !== undefined, JSON.stringify(opened))
  const { path } = opened
  assert.ok(existsSync(path) && existsSync(dirname(listenPath)))
  await a.knows(SHOP)
  const held = connect(path)
  held.on('error', () => {})
  await new Promise(resolve => held.once('connect', resolve))

  const since = performance.now()
  const ms = (): number => Math.round(performance.now() - since)
  sleeper.signal('SIGKILL')
  const took = await Promise.all([
    waitFor(() => !existsSync(path) && !existsSync(dirname(listenPath)), 'the sockets to go').then(ms),
    waitFor(async () => !(await isKnown(b, SHOP)), 'the record to leave its host').then(ms),
    waitFor(async () => !(await isKnown(a, SHOP)), 'the record to leave the other host').then(ms),
    waitFor(() => held.destroyed, 'what was connected to be cut').then(ms)
  ])
  t.diagnostic(
    `after the kill: sockets ${took[0]} ms, record here ${took[1]} ms, there ${took[2]} ms, cut ${took[3]} ms`
  )
  const refused = (await call(b, 'Connect', { token, destination: SITE })) as { message: string }
  assert.match(refused.message, /INVALID_SOURCE/)
  assert.equal((await b.status()).registrations ?? 0, 0)
})

// Connects to the path it is given, writes, and is gone, at once or when the other side has closed: many times, each time
// as a process of its own.
const HASTY = `
import os, socket, sys
path, count, waits = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'waits'
for number in range(count):
    if os.fork() == 0:
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.send(bytes(f'{number}\\n', 'ascii'))
        if waits:
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
        os._exit(0)
    os.wait()
`

test('what a program wrote before it ended arrives if it waited for its end, and is nobody’s if the agent never saw it', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const agent = new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] })
  await agent.start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  const arrived: string[] = []
  await listen('dev.web.log.default', { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {}).on('data', chunk => arrived.push(...chunk.toString().trim().split('\n')))
    socket.on('end', () => socket.end())
  })
  const { token } = await register('dev.shop.cart.default', { client })
  const endpoint = async () => (await client.workload.connect({ token, destination: 'dev.web.log.default' })).path
  const run = async (path: string, count: number, how: string): Promise<void> => {
    const { code, stderr } = await new Program(scope, ['python3', '-c', HASTY, path, String(count), how]).outcome()
    assert.equal(code, 0, stderr)
  }
  const count = 40
  await run(await endpoint(), count, 'waits')
  await waitFor(() => arrived.length >= count, 'all that was written')
  assert.equal(new Set(arrived).size, count)

  // The kernel remembers the uid of who has ended, but not whether that was root of the host or of a container.
  const path = await endpoint()
  agent.program.signal('SIGSTOP')
  await run(path, 3, 'ends')
  agent.program.signal('SIGCONT')
  await agent.program.says(/has ended.*caller of an endpoint cannot be identified/, 'stderr')
  await run(path, 1, 'waits')
  await waitFor(() => arrived.length > count, 'what was written by who waited')
  assert.equal(arrived.length, count + 1)
})
