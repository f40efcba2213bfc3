import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, localCall, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

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
  await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
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
