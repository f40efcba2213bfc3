import assert from 'node:assert/strict'
import test from 'node:test'
import {
  asRoot,
  createHosts,
  type Host,
  localCall,
  type Status,
  scopeOf,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const MAX = 16
const SITE = 'dev.web.site.default'

interface AnnouncedStatus extends Status {
  readonly leftOutAddresses?: readonly string[]
  readonly leftOutCount?: number
  readonly unannounced?: string
}

const statusOf = async (agent: TestAgent): Promise<AnnouncedStatus> => (await agent.status()) as AnnouncedStatus

/** Bridges as a host with containers and virtual machines has them, each with an address of each family. */
function addBridges(host: Host, ...names: readonly string[]): void {
  const lines = names.flatMap((name, at) => [
    `ip link add ${name} type bridge`,
    `ip addr add 172.${17 + at}.0.1/16 dev ${name}`,
    `ip addr add fd17:${at}::1/64 dev ${name} nodad`,
    `ip link set ${name} up`
  ])
  host.run('/bin/sh', '-ec', lines.join('\n'))
}

// The third part tells the hosts apart, as the fourth does in `host.ip`.
function addAliases(host: Host, count: number): void {
  const own = host.ip.split('.').at(-1)
  const lines = Array.from({ length: count }, (_, at) => `ip addr add 10.77.${own}.${at + 1}/16 dev eth0`)
  host.run('/bin/sh', '-ec', lines.join('\n'))
}

/** The data addresses of a member, as another one holds them. */
async function heldBy(agent: TestAgent, machine: string): Promise<readonly string[]> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/ListMembers')
  const { members = [] } = body as { members?: ReadonlyArray<{ machine: string; dataAddresses?: string[] }> }
  return members.find(member => member.machine === machine)?.dataAddresses ?? []
}

/** A connection both ways, over the addresses that `to` announces. */
async function talks(from: TestAgent, to: TestAgent): Promise<void> {
  const serve = to.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await from.knows(SITE)
  const connect = from.spawn(['connect', SITE])
  connect.stdin.write('hello\n')
  await serve.says(/hello/)
  serve.stdin.write('welcome\n')
  await connect.says(/welcome/)
  assert.match(await from.cli('flows'), /direct/)
}

test('hosts with forty addresses each join, see each other, connect, and say which they leave out', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const bridges = ['docker0', 'br-3f2a11aa22bb', 'br-77aa00bb11cc', 'virbr0', 'cni0', 'podman0']
  for (const host of hosts) {
    addBridges(host, ...bridges)
    addAliases(host, 40 - 1 - 2 * bridges.length)
  }
  const [a, b] = await startPair(scope, {
    hosts,
    args: ['--no-mdns']
  })
  for (const [agent, other, host] of [
    [a, b, hosts[0]],
    [b, a, hosts[1]]
  ] as const) {
    const status = await statusOf(agent)
    const { meshAddresses, dataAddresses, leftOutAddresses = [] } = status
    assert.equal(dataAddresses.length, MAX)
    assert.equal(meshAddresses.length, MAX)
    assert.equal(dataAddresses[0], `${host.ip}:7461`)
    assert.ok(meshAddresses[0]?.startsWith(`/ip4/${host.ip}/tcp/7460/p2p/`))
    assert.ok(dataAddresses.some(address => address.startsWith('[fd17:')))
    assert.equal(status.leftOutCount, 40 - MAX)
    assert.equal(leftOutAddresses.length, 40 - MAX)
    assert.match(await agent.cli('status'), /left out +\S+ .*--advertise/)
    // Both listeners are bound to the same addresses.
    assert.equal(agent.program.stderr.match(/"addresses left out"/g)?.length, 1)
    await waitFor(
      async () => (await heldBy(other, agent.name)).join() === dataAddresses.join(),
      `${agent.name} to be known`
    )
  }
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  await talks(b, a)
})

test('twenty addresses that come while a host runs take nothing of it away at its next word', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  addAliases(hosts[0], 20)
  await a.allow('dev.*.*.*', 'dev.x.y.z')
  await b.follows(a)
  const { dataAddresses, leftOutCount } = await statusOf(a)
  assert.deepEqual([dataAddresses[0], dataAddresses.length, leftOutCount], [`${hosts[0].ip}:7461`, MAX, 21 - MAX])
  await waitFor(async () => (await heldBy(b, 'a')).join() === dataAddresses.join(), 'the word of a to reach b')
  await talks(b, a)
  assert.doesNotMatch(b.program.stderr, /registry message refused|registry alarm/)
  assert.equal((await statusOf(a)).unannounced ?? '', '')
})
