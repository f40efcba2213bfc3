import assert from 'node:assert/strict'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshDatagramSocket } from '../../src/client/index.ts'
import { asRoot, needsCommand, type Scope, scopeOf, type TestAgent, waitFor } from '../harness/index.ts'
import { startNatted } from './support/natted-agents.ts'

const ECHO = 'dev.time.echo.default'
const SHOP = 'dev.shop.cart.default'
/** The largest that packets carry, and more than capsules must. */
const LARGEST = 1_413

/** A flow from the left to a server on the right, which returns what it receives. */
async function flow(scope: Scope, left: TestAgent, right: TestAgent): Promise<MeshDatagramSocket> {
  const [near, far] = [left, right].map(({ runtimeDir }) => new AgentClient({ runtimeDir })) as [
    AgentClient,
    AgentClient
  ]
  scope.defer(() => near.close())
  scope.defer(() => far.close())
  const server = await listen(ECHO, { client: far, protocol: 'udp' })
  server.on('connection', (socket: MeshDatagramSocket) => {
    socket.on('error', () => {}).on('message', payload => void socket.send(payload))
  })
  await left.knows(ECHO)
  const socket = await connect(ECHO, { client: near, protocol: 'udp', as: SHOP })
  scope.defer(() => socket.close())
  return socket.on('error', () => {})
}

async function carriers(...agents: readonly TestAgent[]): Promise<string[]> {
  const lists = agents.map(async agent => {
    const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
    return flows.map(({ carrier }) => carrier)
  })
  const all = await Promise.all(lists)
  for (const list of all) assert.equal(list.length, 1)
  return all.flat()
}

test(
  'datagrams of hosts behind two NATs go from host to host where a port keeps its outside port, else on the session',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const { hosts, agents } = await startNatted(scope, 'random')
    const { open, left, right } = agents
    const socket = await flow(scope, left, right)
    let received = 0
    socket.on('message', () => {
      received += 1
    })
    /** Resolves once the answer is here: a lost one is sent again. */
    const echo = async (bytes: number): Promise<void> => {
      const before = received
      await waitFor(async () => {
        if (received === before) await socket.send(Buffer.alloc(bytes, 7))
        return received > before
      }, `an answer of ${bytes} bytes`)
    }

    const failed =
      /no packet came through; the NAT of this host changes ports: 7461 became \d+.*datagrams stay on their session/
    await waitFor(async () => {
      await echo(1_000)
      return failed.test(left.program.stderr)
    }, 'the reason why no packet arrives')
    assert.ok((await carriers(left, right)).every(carrier => carrier !== 'udp'))
    // Nothing is lost of what capsules carry.
    await echo(LARGEST)

    hosts.nats.left.setPorts('shifted')
    await waitFor(async () => {
      await echo(1_000)
      return (await carriers(left, right)).every(carrier => carrier === 'udp')
    }, 'packets to arrive')
    // Far more than there are pings, which are as large.
    await waitFor(async () => {
      for (let sent = 0; sent < 20; sent += 1) await socket.send(Buffer.alloc(LARGEST, 7))
      return hosts.nats.left.largeDatagrams() > 100 && hosts.nats.right.largeDatagrams() > 100
    }, 'the largest datagrams to pass both NATs')
    for (const [agent, role] of [
      [left, 'requester'],
      [right, 'invited'],
      [open, 'observer']
    ] as const) {
      const counted = new RegExp(`^warren_punched_datagrams_total\\{role="${role}",result="ok"\\} [1-9]`, 'm')
      assert.match(await agent.cli('metrics'), counted)
    }

    hosts.nats.right.dropDatagrams()
    await waitFor(async () => {
      await echo(1_000)
      return (await carriers(left, right)).every(carrier => carrier !== 'udp')
    }, 'capsules to carry the datagrams again')
    await echo(1_200)
  }
)
