import assert from 'node:assert/strict'
import test from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { asRoot, createHosts, needsCommand, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { type Counted, countTcp, countUdp, serveCounted } from './support/counted-flows.ts'

const DATA_PORT = 7461
const CLIENT = 'dev.rotation.client.default'
/** Seconds where there are hours and weeks; long enough for a machine that is busy with other tests. */
const QUICK = [
  ...['--svid-lifetime', '12s', '--node-lifetime', '24s', '--authority-lifetime', '60s', '--jwt-key-lifetime', '12s'],
  '--no-mdns'
]
/** Two show that a flow survives what replaces its certificates; TEST_LIVES=5 shows that it does so again and again. */
const LIVES = Number(process.env['TEST_LIVES'] ?? 2)
/** Of datagrams. Nothing loses any, but a machine that is busy may. */
const MOST_LOST = 0.05

/**
 * The hosts that serve, by the way in which their flows come from `near`, and what those of TCP and of UDP are shown with; relays
 * may be any.
 */
const SERVERS = {
  hub: {
    way: 'direct',
    shown: [
      ['direct', 'fastpath'],
      ['direct', 'udp']
    ]
  },
  closed: {
    way: 'its mesh port, since neither reaches the data port of the other',
    shown: [['mesh-port', 'mesh-port fastpath'], ['mesh-port']]
  },
  apart: { way: 'a relay', shown: [['relay'], ['relay']] },
  hidden: {
    way: 'a connection that it dials back from behind a NAT',
    shown: [['reverse', 'reverse fastpath'], ['reverse']]
  }
} as const
type Name = keyof typeof SERVERS
const NAMES = Object.keys(SERVERS) as Name[]

interface Certificate {
  readonly kind: string
  readonly subject: string
  readonly notAfterMs: string
}

interface Flow {
  readonly id: string
  readonly protocol: string
  readonly destination: string
  readonly carrier: string
  readonly problem?: string
}

/** One mesh: `near`, and a host for each way. `hub` founded it, admits, renews and relays. */
async function start(scope: Scope): Promise<Readonly<Record<Name | 'near', TestAgent>>> {
  const [hubHost, nearHost, closed, apart, hidden] = await createHosts(
    scope,
    'hub',
    'near',
    'closed',
    'apart',
    'hidden'
  )
  closed.block(DATA_PORT)
  nearHost.cut(apart)
  nearHost.hideFrom(closed)
  hidden.hideFrom(nearHost)
  const hub = await new TestAgent(scope, { name: 'hub', args: QUICK, host: hubHost }).start([
    '--init',
    'example.org',
    ...QUICK
  ])
  await hub.allow('dev.*.*.*', 'dev.*.*.*')
  const join = async (host: typeof nearHost): Promise<TestAgent> => {
    const agent = new TestAgent(scope, { name: host.name, args: QUICK, host })
    const token = await hub.token(host.name)
    await agent.start(['--join', token, ...QUICK])
    await agent.follows(hub)
    return agent
  }
  const [near, ...others] = [await join(nearHost), await join(closed), await join(apart), await join(hidden)]
  const [one, two, three] = others as [TestAgent, TestAgent, TestAgent]
  return { hub, near, closed: one, apart: two, hidden: three }
}

async function flowsOf(agent: TestAgent): Promise<Flow[]> {
  const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Flow[] }
  return flows.sort((a, b) => (a.id < b.id ? -1 : 1))
}

async function certificate(agent: TestAgent, kind: string): Promise<Certificate> {
  return await waitFor(async () => {
    const { certificates = [] } = (await agent.status()) as unknown as { certificates?: Certificate[] }
    return certificates.find(one => one.kind === kind && (kind !== 'svid' || one.subject.includes('/rotation/')))
  }, `a certificate of ${agent.name}`)
}

/** Waits until so many certificates have ended, each taken when the one before had. */
async function outlive(agent: TestAgent, kind: string, times: number): Promise<void> {
  for (let left = times; left > 0; left -= 1) {
    const { notAfterMs } = await certificate(agent, kind)
    await waitFor(() => Date.now() > Number(notAfterMs), `${left} more ${kind} of ${agent.name} to end`, 60_000)
  }
}

function isOnItsWay({ destination, protocol, carrier }: Flow): boolean {
  const { shown } = SERVERS[destination.split('.').at(-1) as Name]
  return shown[protocol === 'udp' ? 1 : 0].some(one => one === carrier.replace(/ via .*/, ''))
}

/** Undefined, and it is closed again, if it goes another way than it is meant to: that of a machine that is busy may be late. */
async function openOnItsWay(agent: TestAgent, client: AgentClient, destination: string): Promise<Counted | undefined> {
  const flow = await (destination.includes('-udp.') ? countUdp : countTcp)(client, CLIENT, destination)
  const found = (await flowsOf(agent)).find(one => one.destination === destination)
  if (found !== undefined && isOnItsWay(found)) return flow
  flow.close()
  await waitFor(
    async () => (await flowsOf(agent)).every(one => one.destination !== destination),
    `a flow that goes another way to be gone`
  )
  return undefined
}

/** What the agent has said, from so many characters on, of flows that are cut or about to be, and of connections that are closed. */
function cutsOf(agent: TestAgent, from: number): string[] {
  const said = /"flow ended"|"flows and sessions cut"|the flows of the session are cut|its certificate has ended/
  return agent.program.stderr
    .slice(from)
    .split('\n')
    .filter(line => said.test(line))
}

test(
  'flows of TCP and UDP over every carrier live through lives of the certificates of both their ends',
  asRoot,
  async t => {
    if (!needsCommand(t, 'nft')) return
    const scope = scopeOf(t)
    const agents = await start(scope)
    const clientOf = (agent: TestAgent): AgentClient => {
      const client = new AgentClient({ runtimeDir: agent.runtimeDir })
      scope.defer(() => client.close())
      return client
    }
    // All but the one that it cannot reach: a flow must not go through a relay because the mesh is late.
    await agents.near.sees(NAMES.length - 1)
    const near = clientOf(agents.near)
    const flows: Counted[] = []
    for (const name of NAMES) {
      for (const server of await serveCounted(clientOf(agents[name]), `dev.rotation.${name}`)) {
        await agents.near.knows(server.address)
        const flow = await waitFor(
          () => openOnItsWay(agents.near, near, server.address),
          `a flow over ${SERVERS[name].way}`
        )
        flows.push(flow)
        scope.defer(() => flow.close())
      }
    }
    const before = await flowsOf(agents.near)
    assert.equal(before.length, flows.length, cutsOf(agents.near, 0).join('\n'))
    const told = Object.values(agents).map(agent => [agent, agent.program.stderr.length] as const)

    const since = performance.now()
    await Promise.all(
      Object.values(agents).flatMap(agent => [outlive(agent, 'svid', LIVES), outlive(agent, 'node', LIVES)])
    )
    t.diagnostic(`${LIVES} lives of each certificate: ${Math.round((performance.now() - since) / 1_000)} s`)

    // First, since it says why, if it was otherwise.
    for (const [agent, from] of told) assert.deepEqual(cutsOf(agent, from), [], agent.name)
    const after = await flowsOf(agents.near)
    assert.deepEqual(
      after.map(({ id }) => id),
      before.map(({ id }) => id)
    )
    assert.ok(after.every(isOnItsWay), JSON.stringify(after))
    for (const flow of flows) {
      assert.deepEqual(flow.faults, [], flow.name)
      const { received } = flow
      await waitFor(() => flow.received > received, `another number of ${flow.name}`)
      const lost = 1 - flow.received / flow.sent
      assert.ok(lost < MOST_LOST, `${flow.name}: ${flow.received} of ${flow.sent} came back`)
      t.diagnostic(`${flow.name}: ${flow.received} numbers of ${flow.sent}`)
    }
    const [, proofs = ''] =
      /^warren_session_proofs_total\{role="client",result="ok"\} (\d+)$/m.exec(await agents.near.cli('metrics')) ?? []
    t.diagnostic(`${proofs} proofs`)
    assert.ok(Number(proofs) >= LIVES * flows.length, `${proofs} proofs of ${flows.length} sessions`)
    for (const agent of Object.values(agents)) assert.doesNotMatch(await agent.cli('status'), /ALARM +session/)
  }
)
