import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { AgentClient, connect, listen, type MeshSocket } from '../../src/client/index.ts'
import {
  asRoot,
  createHosts,
  type Host,
  needsCommand,
  type Scope,
  scopeOf,
  settled,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const TOTAL_BYTES = 64 * 1024 * 1024
const CHUNK_BYTES = 64 * 1024

interface Open {
  readonly near: MeshSocket
  readonly far: Socket
}

/** Host a founded the mesh and cannot dial b, which is behind a firewall; b can dial a. Flows go from a to b. */
interface Course {
  readonly hosts: readonly [Host, Host]
  readonly agents: readonly [TestAgent, TestAgent]
  readonly open: () => Promise<Open>
}

async function start(t: TestContext, args: readonly string[] = []): Promise<Course> {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  hosts[1].hideFrom(hosts[0])
  const agents = await startPair(scope, { hosts, args: ['--no-mdns', ...args] })
  const [a, b] = agents
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const accepted = await serve(scope, b)
  await a.knows(SITE)
  const client = new AgentClient({ runtimeDir: a.runtimeDir })
  scope.defer(() => client.close())
  const open = async (): Promise<Open> => {
    const near = await connect(SITE, { client, as: SHOP })
    near.on('error', () => {})
    near.write('x')
    return { near, far: await settled(accepted(), 'the connection at the server') }
  }
  return { hosts, agents, open }
}

async function serve(scope: Scope, on: TestAgent): Promise<() => Promise<Socket>> {
  const client = new AgentClient({ runtimeDir: on.runtimeDir })
  scope.defer(() => client.close())
  const waiting: Socket[] = []
  await listen(SITE, { client }, socket => {
    socket.on('error', () => {})
    // The first byte says that it is a connection of the test.
    socket.once('readable', () => {
      socket.read(1)
      waiting.push(socket)
    })
  })
  return () => waitFor(() => waiting.shift(), 'a connection')
}

async function carriers(agent: TestAgent): Promise<string[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
  return flows.map(flow => flow.carrier)
}

async function send(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  for (let sent = 0; sent < TOTAL_BYTES; sent += CHUNK_BYTES) {
    const chunk = randomBytes(CHUNK_BYTES)
    hash.update(chunk)
    if (!socket.write(chunk)) await new Promise(resolve => socket.once('drain', resolve))
  }
  socket.end()
  return hash.digest('hex')
}

async function receive(socket: Socket): Promise<{ hash: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { hash: hash.digest('hex'), bytes }
}

/** Resolves when both ends of a connection have been cut, and neither by a clean end. */
async function cut({ near, far }: Open): Promise<void> {
  await Promise.all(
    [near, far].map(socket =>
      settled(
        new Promise<void>((resolve, reject) => {
          if (socket.destroyed) resolve()
          socket.resume().once('end', () => reject(new Error('it ended cleanly')))
          socket.once('close', () => resolve())
        }),
        'the cut'
      )
    )
  )
}

test(
  'a host behind a firewall dials back: bulk passes both ways, and flows and explain say reverse',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const { agents, open } = await start(t)
    const [a, b] = agents
    const small = await open()
    const { near, far } = await open()
    assert.deepEqual(await carriers(a), ['reverse', 'reverse'])
    assert.deepEqual(await carriers(b), ['reverse', 'reverse'])
    assert.match(await a.cli('flows'), / reverse /)
    assert.match(
      await a.cli('explain', SHOP, SITE),
      /reverse: direct \S+ does not lead to it \(.*\); reverse answers in/
    )
    const [up, down, gotUp, gotDown] = await Promise.all([send(near), send(far), receive(far), receive(near)])
    assert.deepEqual(gotUp, { hash: up, bytes: TOTAL_BYTES })
    assert.deepEqual(gotDown, { hash: down, bytes: TOTAL_BYTES })
    assert.match(await a.cli('metrics'), /warren_fastpath_connections_total\{role="client",result="ok"\} [1-9]/)
    assert.match(await a.cli('metrics'), /warren_reverse_connections_total\{role="requester",result="ok"\} [2-9]/)
    assert.match(await b.cli('metrics'), /warren_reverse_connections_total\{role="dialler",result="ok"\} [2-9]/)
    // A moved flow says so.
    const moved = await open()
    await waitFor(async () => {
      moved.near.write(Buffer.alloc(CHUNK_BYTES))
      moved.far.resume()
      return (await carriers(a)).includes('reverse fastpath')
    }, 'a flow to move')
    small.near.destroy()
    moved.near.destroy()
  }
)

test('a kill of either host is a cut for the other, and the next flow is dialled back again', asRoot, async t => {
  if (!needsCommand(t, 'nft')) return
  const { agents, open } = await start(t)
  const [a, b] = agents
  const first = await open()
  await b.kill()
  await cut(first)
  // The library registers again with the agent that comes back.
  await b.start(['--no-mdns'])
  const second = await waitFor(
    async () => {
      const pair = await open()
      if ((await carriers(a)).includes('reverse')) return pair
      pair.near.destroy()
      return undefined
    },
    'a flow by the way back',
    90_000
  )
  await a.kill()
  await cut(second)
})

test('renewed certificates are proved on it; a deny cuts it at once, and so does an eviction', asRoot, async t => {
  if (!needsCommand(t, 'nft')) return
  const { agents, open } = await start(t, ['--svid-lifetime', '6s', '--jwt-key-lifetime', '10s'])
  const [a, b] = agents
  const first = await open()
  const proofs = async (): Promise<number> =>
    Number(/warren_session_proofs_total\{role="client",result="ok"\} (\d+)/.exec(await a.cli('metrics'))?.[1] ?? 0)
  await waitFor(async () => (await proofs()) >= 3, 'three proofs', 60_000)
  assert.deepEqual(await carriers(a), ['reverse'])
  first.near.write('after')
  await waitFor(() => (first.far.read() as Buffer | null)?.includes('after'), 'what is said after the renewals')

  const rule = (await a.cli('deny', 'dev.shop.*.*', 'dev.web.*.*')).trim()
  await cut(first)
  await a.cli('policy', 'remove', rule)
  await b.follows(a)
  const second = await open()
  assert.deepEqual(await carriers(a), ['reverse'])
  await a.cli('evict', 'b')
  await cut(second)
  assert.deepEqual(await carriers(a), [])
})
