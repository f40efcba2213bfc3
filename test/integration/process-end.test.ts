import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { dirname } from 'node:path'
import test from 'node:test'
import { localCall, Program, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

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
  await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
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
