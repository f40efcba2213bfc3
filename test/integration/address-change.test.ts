import assert from 'node:assert/strict'
import test from 'node:test'
import {
  asRoot,
  createHosts,
  type Host,
  localCall,
  scopeOf,
  startPair,
  type TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'

/** The data addresses of a member, as another one holds them. */
async function heldBy(agent: TestAgent, machine: string): Promise<readonly string[]> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/ListMembers')
  const { members = [] } = body as { members?: ReadonlyArray<{ machine: string; dataAddresses?: string[] }> }
  return members.find(member => member.machine === machine)?.dataAddresses ?? []
}

test('a host whose address changes is found at its new one, and its flows are direct again', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const [host] = hosts
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  host.run('ip', 'addr', 'del', `${host.ip}/24`, 'dev', 'eth0')
  host.run('ip', 'addr', 'add', '10.77.0.51/24', 'dev', 'eth0')
  await waitFor(async () => (await heldBy(b, 'a')).includes('10.77.0.51:7461'), 'the new address to reach b')
  assert.ok(!(await heldBy(b, 'a')).includes(`${host.ip}:7461`))
  const isDirect = /, healthy[\s\S]*direct 10\.77\.0\.51:7461 answers/
  await waitFor(async () => isDirect.test(await explained(b)), 'the path to be direct')
  // For a second the host may still be skipped: a probe of its former address has failed.
  const heard = serve.says(/hello/).then(() => true)
  await waitFor(async () => {
    const connect = b.spawn(['connect', SITE])
    connect.stdin.write('hello\n')
    return await Promise.race([heard, connect.outcome().then(() => false)])
  }, 'a connection')
  assert.match(await b.cli('flows'), /direct/)
  assert.match(a.program.stderr, /"addresses of this host changed"/)
})

async function explained(agent: TestAgent): Promise<string> {
  return (await agent.attempt(['explain', 'dev.user.root.default', SITE])).stdout
}

/** Makes the name mean this address on a host, from now on. */
function name(host: Host, address: string): void {
  const write = `echo "127.0.0.1 localhost\n${address} alpha.test" > /run/hosts`
  const mount = 'grep -q " /etc/hosts " /proc/mounts || mount --bind /run/hosts /etc/hosts'
  host.run('/bin/sh', '-ec', `${write}; ${mount}`)
}

test('a name in --bootstrap whose address changes is resolved again while the agent runs', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const [host, other] = hosts
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  await b.stop()
  host.run('ip', 'addr', 'del', `${host.ip}/24`, 'dev', 'eth0')
  host.run('ip', 'addr', 'add', '10.77.0.51/24', 'dev', 'eth0')
  // Nobody finds b, which has to find a.
  other.run('nft', 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }')
  other.run('nft', 'add rule inet cut in tcp flags & (syn | ack) == syn iif eth0 drop')
  name(other, '10.77.0.99')
  const { peerId } = await a.status()
  await b.start(['--no-mdns', '--bootstrap', `/dns/alpha.test/tcp/7460/p2p/${peerId}`])
  await b.program.says(/"seed cannot be reached"/, 'stderr')
  name(other, '10.77.0.51')
  await b.sees(1)
})
