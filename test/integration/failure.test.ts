import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'

/** Agents that know each other, one on each host, the first of them the authority. */
async function startMesh(scope: Scope, hosts: readonly Host[]): Promise<TestAgent[]> {
  const agents: TestAgent[] = []
  for (const [at, host] of hosts.entries()) {
    const agent = new TestAgent(scope, { name: `m${at}`, args: [], host })
    const [first] = agents
    const how =
      first === undefined
        ? ['--init', 'example.org']
        : ['--join', (await first.cli('token', 'create', `m${at}`)).trim()]
    await agent.start([...how, '--no-mdns'])
    agents.push(agent)
  }
  await Promise.all(agents.map(agent => agent.sees(hosts.length - 1)))
  return agents
}

async function stateOf(agent: TestAgent, machine: string): Promise<string> {
  const { members = [] } = JSON.parse(await agent.cli('members', '--json')) as {
    members?: Array<{ machine: string; state: string }>
  }
  return members.find(member => member.machine === machine)?.state ?? 'gone'
}

test('kill -9 of a host takes its services out of routing on all others, and leaves the rest', asRoot, async t => {
  const scope = scopeOf(t)
  const agents = await startMesh(scope, await createHosts(scope, 'a', 'b', 'c'))
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent]
  const served = c.spawn(['serve', SITE])
  await served.says(/serving/, 'stderr')
  await waitFor(async () => (await b.cli('services', SITE)).includes(SITE), 'the service to be known')
  const killedMs = performance.now()
  await c.kill()
  await waitFor(async () => {
    const states = await Promise.all([a, b].map(agent => stateOf(agent, 'm2')))
    return states.every(state => state === 'suspect' || state === 'gone')
  }, 'both others to notice')
  t.diagnostic(`kill -9 to suspected on all others: ${Math.round(performance.now() - killedMs)} ms, with the commands`)
  assert.equal(await stateOf(a, 'm1'), 'connected')
})

test('a host that stops for a while is suspect meanwhile, and comes back with all its records', asRoot, async t => {
  const scope = scopeOf(t)
  const agents = await startMesh(scope, await createHosts(scope, 'a', 'b', 'c'))
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent]
  const served = c.spawn(['serve', SITE])
  await served.says(/serving/, 'stderr')
  await waitFor(async () => (await a.cli('services', SITE)).includes(SITE), 'the service to be known')
  process.kill(c.pid, 'SIGSTOP')
  scope.defer(() => c.pid > 0 && process.kill(c.pid, 'SIGCONT'))
  for (const agent of [a, b]) {
    await waitFor(async () => /suspect/.test(await agent.cli('services', SITE)), 'the service to be shown as suspect')
  }
  process.kill(c.pid, 'SIGCONT')
  for (const agent of [a, b]) {
    await waitFor(async () => {
      const shown = await agent.cli('services', SITE)
      return shown.includes(SITE) && !/suspect/.test(shown)
    }, 'the service to be back')
  }
  assert.notEqual(await stateOf(c, 'm0'), 'gone')
  assert.notEqual(await stateOf(a, 'm1'), 'suspect')
})
