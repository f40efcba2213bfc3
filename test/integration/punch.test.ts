import assert from 'node:assert/strict'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshSocket } from '../../src/client/index.ts'
import {
  asRoot,
  createNattedHosts,
  type NattedHosts,
  needsCommand,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const CHUNK = Buffer.alloc(64 * 1024, 7)
const MEGABYTES = 8

interface Course {
  readonly hosts: NattedHosts
  readonly agents: { readonly open: TestAgent; readonly left: TestAgent; readonly right: TestAgent }
  /** A connection from the workload on the left to the server on the right, which returns what it receives. */
  readonly dial: () => Promise<MeshSocket>
}

/** The open host founded the mesh; the two behind NATs reach it, and each other only with its help. */
async function start(scope: Scope): Promise<Course> {
  const hosts = await createNattedHosts(scope)
  // Before anything is known of it.
  hosts.nats.left.setPorts('random')
  const open = new TestAgent(scope, { name: 'open', args: ['--no-mdns'], host: hosts.open })
  await open.start(['--init', 'example.org', '--no-mdns'])
  await open.allow('dev.*.*.*', 'dev.*.*.*')
  const [left, right] = await Promise.all(
    (['left', 'right'] as const).map(async name => {
      const agent = new TestAgent(scope, { name, args: ['--no-mdns'], host: hosts[name] })
      return await agent.start(['--join', await open.token(name), '--no-mdns'])
    })
  )
  assert.ok(left !== undefined && right !== undefined)
  await Promise.all([left.follows(open), right.follows(open)])
  await echo(scope, right)
  await left.knows(SITE)
  const client = new AgentClient({ runtimeDir: left.runtimeDir })
  scope.defer(() => client.close())
  const dial = async (): Promise<MeshSocket> => {
    const socket = await connect(SITE, { client, as: SHOP })
    return socket.on('error', () => {})
  }
  return { hosts, agents: { open, left, right }, dial }
}

async function echo(scope: Scope, on: TestAgent): Promise<void> {
  const client = new AgentClient({ runtimeDir: on.runtimeDir })
  scope.defer(() => client.close())
  await listen(SITE, { client }, socket => socket.on('error', () => {}).pipe(socket))
}

async function carriers(agent: TestAgent): Promise<string[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
  return flows.map(flow => flow.carrier)
}

/** Sends some megabytes and returns how many bytes come back. */
async function exchange(socket: MeshSocket): Promise<number> {
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  const ended = new Promise<void>((resolve, reject) => socket.once('end', resolve).once('error', reject))
  for (let sent = 0; sent < MEGABYTES * 1024 * 1024; sent += CHUNK.length) {
    if (!socket.write(CHUNK)) await new Promise(resolve => socket.once('drain', resolve))
  }
  socket.end()
  await ended
  return bytes
}

test(
  'hosts behind two NATs connect to each other if these keep ports, else through a relay, and explain says why',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const { hosts, agents, dial } = await start(scopeOf(t))
    const { open, left, right } = agents
    const [relayed, said] = await Promise.all([dial(), left.attempt(['explain', SHOP, SITE])])
    assert.deepEqual(await carriers(left), ['relay via open'])
    assert.match(
      said.stdout,
      /relay via open: .*punched does not answer \(arranged by open: no connection came about.* the NAT of this host changes ports: \d+ became \d+/
    )

    let sent = 0
    let received = 0
    relayed.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    const send = (): void => {
      relayed.write(CHUNK)
      sent += CHUNK.length
    }
    // Too few for the fast path of the relay, on which a flow stays.
    for (let chunks = 0; chunks < 2; chunks += 1) send()
    await waitFor(() => received === sent, 'the bytes on the relay')
    assert.deepEqual(await carriers(left), ['relay via open'])

    hosts.nats.left.setPorts('kept')
    // The failure is remembered for some seconds.
    await waitFor(async () => {
      const socket = await dial()
      const isPunched = (await carriers(left)).includes('punched')
      socket.destroy()
      return isPunched
    }, 'a flow over a punched connection')
    await waitFor(async () => {
      send()
      return (await carriers(left)).includes('punched fastpath') && (await carriers(right)).includes('punched fastpath')
    }, 'the flow to move from the relay to a punched connection')
    await waitFor(() => received === sent, 'every byte')
    relayed.destroy()
    // The failure is remembered for some seconds.
    const flow = await waitFor(async () => {
      const socket = await dial()
      if ((await carriers(left)).includes('punched')) return socket
      socket.destroy()
      return undefined
    }, 'a flow over a punched connection')
    assert.ok((await carriers(right)).includes('punched'))
    assert.equal(await exchange(flow), MEGABYTES * 1024 * 1024)
    assert.match(await left.cli('metrics'), /warren_punched_connections_total\{role="requester",result="ok"\} [1-9]/)
    assert.match(await right.cli('metrics'), /warren_punched_connections_total\{role="invited",result="ok"\} [1-9]/)
    assert.match(await open.cli('metrics'), /warren_punched_connections_total\{role="rendezvous",result="ok"\} [1-9]/)

    const moved = await dial()
    moved.resume()
    await waitFor(async () => {
      moved.write(CHUNK)
      return (await carriers(left)).includes('punched fastpath')
    }, 'a flow to move to a connection that is punched as well')
    const closed = new Promise(resolve => moved.once('close', resolve))
    await open.cli('deny', 'dev.shop.*.*', 'dev.web.*.*')
    await closed
    assert.deepEqual(await carriers(left), [])
  }
)
