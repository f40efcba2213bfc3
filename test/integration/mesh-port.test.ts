import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import test from 'node:test'
import { AgentClient, connect, listen, type MeshSocket } from '../../src/client/index.ts'
import {
  asRoot,
  createHosts,
  needsCommand,
  type Scope,
  scopeOf,
  settled,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const DATA_PORT = 7461
const TOTAL_BYTES = 32 * 1024 * 1024
const CHUNK_BYTES = 64 * 1024

/** A server on one host, and connections to it from the other. */
interface Course {
  readonly from: TestAgent
  readonly to: TestAgent
  readonly name: string
  readonly open: () => Promise<{ readonly near: MeshSocket; readonly far: Socket }>
}

async function course(scope: Scope, from: TestAgent, to: TestAgent): Promise<Course> {
  const name = `dev.web.${to.name}.default`
  const [near, far] = [from, to].map(({ runtimeDir }) => new AgentClient({ runtimeDir })) as [AgentClient, AgentClient]
  scope.defer(async () => await Promise.all([near.close(), far.close()]))
  const waiting: Socket[] = []
  await listen(name, { client: far }, socket => {
    socket.on('error', () => {})
    // The first byte says that it is a connection of the test.
    socket.once('readable', () => {
      socket.read(1)
      waiting.push(socket)
    })
  })
  await from.knows(name)
  const open = async () => {
    const socket = await connect(name, { client: near, as: `dev.shop.${from.name}.default` })
    socket.on('error', () => {})
    socket.write('x')
    return { near: socket, far: await waitFor(() => waiting.shift(), 'a connection') }
  }
  return { from, to, name, open }
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

async function receive(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}

test(
  'where nothing but the mesh port is open, flows go by TCP connections to it, whichever host has dialled the other',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, 'a', 'b')
    const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await b.follows(a)
    for (const host of hosts) host.block(DATA_PORT)
    const shown: string[] = []
    for (const { from, to, name, open } of [await course(scope, a, b), await course(scope, b, a)]) {
      const { near, far } = await open()
      const [carrier = ''] = await carriers(from)
      assert.deepEqual(await carriers(to), [carrier])
      shown.push(carrier)
      assert.match(
        await from.cli('explain', `dev.shop.${from.name}.default`, name),
        new RegExp(
          `${carrier}: direct \\S+:${DATA_PORT} does not lead to it \\(.*\\); ${carrier} (\\S+:7460 )?answers in`
        )
      )
      const sent = Promise.all([send(near), send(far)])
      assert.deepEqual(await Promise.all([receive(far), receive(near)]), await sent)
      assert.match(await from.cli('metrics'), /warren_fastpath_connections_total\{role="client",result="ok"\} [1-9]/)
      near.destroy()
      await settled(
        waitFor(async () => (await carriers(from)).length === 0, 'the flow to end'),
        'the end of the flow'
      )
    }
    // Who has dialled the other for the mesh dials its port again; the other one asks to be dialled there.
    assert.deepEqual(shown.toSorted(), ['mesh-port', 'reverse'])
  }
)
