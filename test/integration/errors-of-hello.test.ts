import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import type { ErrorCode } from '../../src/core/index.ts'
import { decode, proxyPb, readFrame } from '../../src/wire/index.ts'
import { localCall, Program, type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'
import { dial } from '../proxy/support/sockets.ts'
import { membersOf } from './support/mesh-of-hosts.ts'

const SHOP = 'dev.shop.cart.default'
const MAX_BYTES = 16_384
const PATIENCE_MS = 20_000

interface Served {
  readonly token: string
  /** Stops listening. */
  readonly close: () => void
}

async function call<T>(agent: TestAgent, method: string, body: unknown): Promise<T> {
  const answer = await localCall(agent.socket, `WorkloadService/${method}`, body)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body as T
}

async function serve(scope: Scope, agent: TestAgent, address: string): Promise<Served> {
  const server = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.defer(() => server.close())
  const { port } = server.address() as AddressInfo
  const request = {
    address,
    target: { tcp: `127.0.0.1:${port}` },
    ownerPid: process.pid,
    healthCheck: 'HEALTH_CHECK_OFF'
  }
  const { token } = await call<{ token: string }>(agent, 'Register', request)
  return { token, close: () => server.close() }
}

/** What the agent says first on a connection to an endpoint. */
async function helloAt(path: string): Promise<proxyPb.FlowHello> {
  const socket = await dial(path)
  try {
    const frame = await readFrame(socket, MAX_BYTES, AbortSignal.timeout(PATIENCE_MS))
    return decode(proxyPb.FlowHelloSchema, frame, MAX_BYTES)
  } finally {
    socket.destroy()
  }
}

async function assertRefused(agent: TestAgent, path: string, code: ErrorCode, reason: RegExp): Promise<void> {
  const { flowId, error } = await helloAt(path)
  assert.equal(error?.code, code, error?.reason ?? 'it was granted')
  assert.match(error.reason, reason)
  // The frame, and the line in the log that it leads to.
  const line = new RegExp(`"flowId":"${flowId}".*"code":"${code}".*"flow ended"`)
  await agent.program.says(line, 'stderr')
}

test('the hello frame says why a connection failed, with what was tried, and its line in the log says the same', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.web.*.*')
  const gone = await serve(scope, a, 'dev.web.gone.default')
  const closed = [await serve(scope, a, 'dev.web.closed.one'), await serve(scope, a, 'dev.web.closed.two')]
  await serve(scope, a, 'dev.web.denied.default')
  await serve(scope, a, 'dev.web.silent.default')
  for (const name of ['gone.default', 'closed.two', 'denied.default', 'silent.default'])
    await b.knows(`dev.web.${name}`)
  await b.follows(a)

  const sleeper = new Program(scope, ['sleep', '600'])
  const sourceOf = async (name: string, ownerPid: number): Promise<string> =>
    (await call<{ token: string }>(b, 'Register', { address: `dev.shop.${name}.default`, ownerPid })).token
  const token = await sourceOf('cart', process.pid)
  const leaving = await sourceOf('leaving', process.pid)
  const dying = await sourceOf('dying', sleeper.pid)
  const endpointOf = async (destination: string, of = token): Promise<string> =>
    (await call<{ path: string }>(b, 'Connect', { token: of, destination, hello: true })).path
  const paths = {
    gone: await endpointOf('dev.web.gone.default'),
    closed: await endpointOf('dev.web.closed.*'),
    denied: await endpointOf('dev.web.denied.default'),
    silent: await endpointOf('dev.web.silent.default'),
    left: await endpointOf('dev.web.silent.default', leaving),
    dead: await endpointOf('dev.web.silent.default', dying)
  }

  await call(a, 'Deregister', { token: gone.token })
  await waitFor(async () => !(await b.cli('services')).includes('dev.web.gone'), 'the record to go')
  await assertRefused(b, paths.gone, 'DESTINATION_NOT_FOUND', /matches dev\.web\.gone\.default/)

  // The first takes the connection that the check of Connect has made.
  assert.equal((await helloAt(paths.closed)).error, undefined)
  for (const { close } of closed) close()
  const both = /none of 2 instances .*closed\.(one|two)\.a: .*ECONNREFUSED.*closed\.(one|two)\.a: .*ECONNREFUSED/
  await assertRefused(b, paths.closed, 'DESTINATION_UNREACHABLE', both)

  await a.cli('deny', SHOP, 'dev.web.denied.*')
  await b.follows(a)
  await assertRefused(b, paths.denied, 'UNAUTHORIZED', /rule r2|deny/)

  process.kill(a.pid, 'SIGSTOP')
  scope.defer(() => process.kill(a.pid, 'SIGCONT'))
  const begun = ((await b.status()).flows ?? 0) + 2
  const cleared = assertRefused(b, paths.left, 'TIMEOUT', /deregistered/)
  const ended = assertRefused(b, paths.dead, 'INVALID_SOURCE', /process ended/)
  await waitFor(async () => ((await b.status()).flows ?? 0) >= begun, 'both to be under way')
  await call(b, 'Deregister', { token: leaving, wait: 'WAIT_LOCAL' })
  sleeper.signal('SIGKILL')
  await Promise.all([cleared, ended])

  await assertRefused(b, paths.silent, 'DESTINATION_UNREACHABLE', /silent\.default\.a|agent of a|does not answer/)
  await waitFor(
    async () => (await membersOf(b)).get('a')?.state === 'suspect',
    'the host to be looked at, and suspected'
  )
})
