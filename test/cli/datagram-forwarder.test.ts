import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { AgentClient, connect, listen, type MeshDatagramSocket } from '../../src/client/index.ts'
import { DatagramForwarder, type DatagramForwarderOptions, type LocalDatagrams } from '../../src/listeners/index.ts'
import { FakeAgent } from '../client/fake-agent.ts'
import { waitFor } from '../harness/index.ts'

const ADDRESS = 'dev.web.echo.default'

/** A local socket of which the test is the network. */
class Local implements LocalDatagrams {
  readonly bound = 'here'
  readonly answers: string[] = []
  lostByKernel = 0
  takesAnswers = true
  #listener: (payload: Buffer, from: string) => void = () => {}

  onDatagram(listener: (payload: Buffer, from: string) => void): void {
    this.#listener = listener
  }

  send(payload: Buffer, to: string): boolean {
    if (this.takesAnswers) this.answers.push(`${to} ${payload}`)
    return this.takesAnswers
  }

  lost(): number {
    return this.lostByKernel
  }

  close(): void {}

  receive(from: string, payload: string | Buffer): void {
    this.#listener(Buffer.from(payload), from)
  }
}

async function setUp(t: TestContext, options: Partial<DatagramForwarderOptions> = {}) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const flows: MeshDatagramSocket[] = []
  const received: string[] = []
  await listen(ADDRESS, { client, protocol: 'udp' }, flow => {
    flows.push(flow)
    flow
      .on('error', () => {})
      .on('message', payload => {
        received.push(String(payload))
        flow.send(`re ${payload}`)
      })
  })
  const local = new Local()
  const drops: string[] = []
  const failures: unknown[] = []
  const forwarder = new DatagramForwarder(local, {
    open: signal => connect(ADDRESS, { client, protocol: 'udp', signal }),
    idleMs: 120_000,
    oneQuestion: false,
    onFailure: err => failures.push(err),
    onDrops: text => drops.push(text),
    ...options
  })
  t.after(() => forwarder.close())
  const answered = (text: string) => waitFor(() => local.answers.includes(text), `the answer ${text}`)
  return { agent, local, forwarder, flows, received, drops, failures, answered }
}

/** Holds the flows back that are being opened, until it is called. */
function hold(agent: FakeAgent): () => void {
  const held = Promise.withResolvers<void>()
  agent.onRegister = () => held.promise
  return held.resolve
}

test('a burst that comes before its flow is open arrives whole, in order', async t => {
  const { agent, local, forwarder, received, drops } = await setUp(t)
  const release = hold(agent)
  const burst = Array.from({ length: 5_000 }, (_, index) => `page.views.of.some.shop:${index}|c`)
  for (const line of burst) local.receive('client', line)
  release()
  await waitFor(() => received.length === burst.length, 'the burst')
  assert.deepEqual(received, burst)
  await forwarder.close()
  assert.deepEqual(drops, [])
})

test('what finds no room while its flow is opened is counted and told', async t => {
  const { agent, local, forwarder, received, drops } = await setUp(t)
  const release = hold(agent)
  for (let count = 0; count < 100; count += 1) local.receive('client', Buffer.alloc(60_000, 120))
  release()
  await waitFor(() => received.length === 69, 'what found room')
  await forwarder.close()
  assert.deepEqual(drops, ['datagrams dropped: 31 because more waited for their flow than there is room for'])
})

test('the idlest client makes room for one more, and comes back as a new one', async t => {
  const { local, answered, flows } = await setUp(t, { maxClients: 2 })
  for (const name of ['one', 'two']) {
    local.receive(name, 'hello')
    await answered(`${name} re hello`)
  }
  const [, idlest] = flows as [MeshDatagramSocket, MeshDatagramSocket]
  local.receive('one', 'again')
  await answered('one re again')
  const closed = once(idlest, 'close')
  local.receive('three', 'hello')
  await answered('three re hello')
  await closed
  local.receive('two', 'again')
  await answered('two re again')
  assert.equal(flows.length, 4)
})

test('a flow of one question ends after its answer, and one without an answer yet stays', async t => {
  const { local, answered, flows } = await setUp(t, { oneQuestion: true })
  local.receive('client', 'question')
  await answered('client re question')
  const [flow] = flows as [MeshDatagramSocket]
  if (!flow.closed) await once(flow, 'close')
  local.receive('client', 'another')
  await answered('client re another')
  assert.equal(flows.length, 2)
})

test('every other drop is counted and told: refused flows, answers that nobody takes, losses of the kernel', async t => {
  const { agent, local, forwarder, answered, drops, failures } = await setUp(t)
  agent.onRegister = async () => {
    throw new Error('not now')
  }
  for (let count = 0; count < 3; count += 1) local.receive('refused', 'x')
  await waitFor(() => failures.length === 1, 'the refusal')
  local.receive('refused', 'x')
  agent.onRegister = async () => {}
  local.receive('client', 'x')
  await answered('client re x')
  local.takesAnswers = false
  local.lostByKernel = 7
  local.receive('client', Buffer.alloc(65_508))
  local.receive('client', 'y')
  await waitFor(() => failures.length === 2, 'what is too large')
  await waitFor(() => drops.join().includes('answers'), 'the first report', 5_000)
  await forwarder.close()
  assert.deepEqual(drops, [
    'datagrams dropped: 4 because their flow was refused; 1 because they were too large; 1 that were answers, because the client did not take them',
    'datagrams dropped: 7 before they were read'
  ])
})
