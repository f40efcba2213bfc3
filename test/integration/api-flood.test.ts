import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { connect as connectSession } from 'node:http2'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { asRoot, localCall, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { WatchFlood } from './support/watch-flood.ts'

const STRANGER = 61_238
const MIB = 1_024 * 1_024
const SERVICES = 100
const WATCHES = 512

/** An agent whose sockets everybody reaches. */
async function startRoot(scope: Scope, args: readonly string[] = []): Promise<TestAgent> {
  const agent = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', ...args] })
  await agent.start()
  chmodSync(dirname(agent.runtimeDir), 0o755)
  return agent
}

async function register(agent: TestAgent, name: string): Promise<void> {
  const input = { address: `dev.web.${name}.default`, ttlMs: 3_600_000, ownerPid: process.pid, wait: 'WAIT_LOCAL' }
  const { status, body } = await localCall(agent.socket, 'WorkloadService/Register', input)
  assert.equal(status, 200, JSON.stringify(body))
}

async function hitsOf(agent: TestAgent, limit: string): Promise<number> {
  return Number(
    new RegExp(`^warren_limit_hits_total\\{limit="${limit}"\\} (\\d+)`, 'm').exec(await agent.cli('metrics'))?.[1] ?? 0
  )
}

test(
  'a thousand watches of a user without any grant are cut to his bound; all that he has left follow, and others register',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const agent = await startRoot(scope)
    for (let index = 0; index < SERVICES; index += 1) await register(agent, `s${index}`)
    const before = agent.residentBytes()
    const flood = new WatchFlood(scope, agent, STRANGER, 1_000, 'reads')
    await waitFor(() => flood.refusals.length >= 1_000 - WATCHES && flood.states >= WATCHES, 'the flood to be served')
    assert.deepEqual([...new Set(flood.refusals)], ['8 LIMIT_EXCEEDED'])
    assert.equal(flood.refusals.length, 1_000 - WATCHES)
    for (let change = 1; change <= 2; change += 1) {
      await register(agent, `more${change}`)
      await waitFor(() => flood.states >= WATCHES * (change + 1), `change ${change} to reach every watch`)
    }
    const grown = agent.residentBytes() - before
    assert.ok(grown < 300 * MIB, `${Math.round(grown / MIB)} MiB more`)
    assert.ok((await hitsOf(agent, 'api_watches_per_uid')) >= 1_000 - WATCHES)
    // Ended watches give their places back.
    await flood.end()
    const next = new WatchFlood(scope, agent, STRANGER, WATCHES, 'reads')
    await waitFor(() => next.states >= WATCHES, 'the places of the ended watches')
    assert.deepEqual(next.refusals, [])
  }
)

test(
  'what a user does not read takes up no more than his share, and his other processes are served again',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const agent = await startRoot(scope)
    for (let index = 0; index < SERVICES; index += 1) await register(agent, `s${index}`)
    const before = agent.residentBytes()
    new WatchFlood(scope, agent, STRANGER, 1_000, 'stalled')
    await waitFor(async () => (await hitsOf(agent, 'api_waiting_bytes')) > 0, 'the limit of what waits')
    const grown = agent.residentBytes() - before
    assert.ok(grown < 150 * MIB, `${Math.round(grown / MIB)} MiB more`)
    const honest = new WatchFlood(scope, agent, STRANGER, 1, 'reads')
    await waitFor(() => honest.states > 0 || honest.refusals.length > 0, 'another process of the same user')
    await register(agent, 'last')
  }
)

test(
  'connections of root up to the limit leave a place for commands that show it, and the limit can be set',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const agent = await startRoot(scope, ['--limit', 'api_connections_per_uid=40'])
    const open = async (path: string) => {
      const socket = connect(path)
      scope.defer(() => socket.destroy())
      socket.on('error', () => {})
      socket.write(
        'POST /warren.api.v1.WorkloadService/GetStatus HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}'
      )
      const [chunk] = (await once(socket, 'data')) as [Buffer]
      return String(chunk)
    }
    for (const path of [agent.socket, agent.adminSocket]) {
      for (let index = 0; index < 40; index += 1) assert.match(await open(path), /^HTTP\/1.1 (200|404)/)
    }
    assert.match(await agent.cli('status'), /^state +ready$/m)
    await agent.cli('members')
    await agent.cli('services')
    const refused = await agent.attempt(['register', 'dev.web.site.default'])
    assert.match(refused.stderr, /LIMIT_EXCEEDED: too many connections; the limit of one user is 40/)
    assert.notEqual(refused.code, 0)
    // Silent connections do not use the reserve up.
    for (let index = 0; index < 100; index += 1) {
      const socket = connect(agent.socket)
      scope.defer(() => socket.destroy())
      socket.on('error', () => {})
      await once(socket, 'connect')
    }
    assert.match(await agent.cli('status'), /^state +ready$/m)
  }
)

test('others are answered while a user gets the certificates of hundreds of registrations', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await startRoot(scope)
  const COUNT = 150
  for (let index = 0; index < COUNT; index += 1) await register(agent, `s${index}`)
  const session = connectSession('http://agent', {
    createConnection: () => connect(join(agent.runtimeDir, 'spiffe.sock'))
  })
  scope.defer(() => session.destroy())
  const stream = session.request({
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true'
  })
  let received = 0
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  stream.end(Buffer.alloc(5))
  let answers = 0
  for (; received === 0; answers += 1) await agent.status()
  assert.ok(answers >= COUNT / 3, `${answers} answers meanwhile`)
})
