import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import {
  asRoot,
  createHosts,
  type Host,
  IS_LONG,
  localCall,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
/** From kill -9 of a host until no other routes to it. */
const OUT_OF_ROUTING_MS = 3_000
const FLAPPING_SECONDS = Number(process.env['TEST_FLAPPING_SECONDS'] ?? (IS_LONG ? 20 : 12))

/** Agents that know each other, one on each host, the first of them the authority. */
async function startMesh(scope: Scope, hosts: readonly Host[]): Promise<TestAgent[]> {
  const agents: TestAgent[] = []
  for (const [at, host] of hosts.entries()) {
    const agent = new TestAgent(scope, { name: `m${at}`, args: [], host })
    const [first] = agents
    const how = first === undefined ? ['--init', 'example.org'] : ['--join', await first.token(`m${at}`)]
    await agent.start([...how, '--no-mdns'])
    agents.push(agent)
  }
  await Promise.all(agents.map(agent => agent.sees(hosts.length - 1)))
  // A connection comes before what is said over it.
  await waitFor(async () => {
    const views = await Promise.all(agents.map(membersOf))
    return views.every(members => members.size === hosts.length)
  }, 'all to know all')
  return agents
}

async function stateOf(agent: TestAgent, machine: string): Promise<string> {
  const { members = [] } = JSON.parse(await agent.cli('members', '--json')) as {
    members?: Array<{ machine: string; state: string }>
  }
  return members.find(member => member.machine === machine)?.state ?? 'gone'
}

/** What the agent says of each member, by machine. */
async function membersOf(agent: TestAgent): Promise<Map<string, Member>> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/ListMembers')
  return new Map(((body as { members?: Member[] }).members ?? []).map(member => [member.machine, member]))
}

interface Member {
  readonly machine: string
  readonly state: string
  /** A 64-bit number, so a string in JSON. */
  readonly seq?: string
}

async function isSkipped(agent: TestAgent): Promise<boolean> {
  const { body } = await localCall(agent.socket, 'WorkloadService/ListServices', { pattern: SITE })
  const { services = [] } = body as { services?: Array<{ suspect?: boolean }> }
  return services.every(({ suspect }) => suspect === true)
}

/** Asks all agents again and again who is there; tells what it saw when it is ended. */
function watch(agents: readonly TestAgent[]): () => Promise<{ readonly gone: string[]; readonly suspected: string[] }> {
  const gone = new Set<string>()
  const suspected = new Set<string>()
  let over = false
  const look = async (agent: TestAgent): Promise<void> => {
    const members = await membersOf(agent)
    for (const { name } of agents) {
      const state = members.get(name)?.state
      if (state === undefined || state === 'gone') gone.add(`${name} on ${agent.name}`)
      if (state === 'suspect') suspected.add(`${name} on ${agent.name}`)
    }
  }
  const watching = (async () => {
    while (!over) {
      await Promise.all(agents.map(look))
      await pause(100)
    }
  })()
  return async () => {
    over = true
    await watching
    return { gone: [...gone].sort(), suspected: [...suspected].sort() }
  }
}

// Of each suite the last test is the one that takes a host away for good.
describe('three hosts', asRoot, () => {
  const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
  let hosts: readonly Host[]
  let agents: TestAgent[]
  before(async () => {
    hosts = await createHosts(scope, 'a', 'b', 'c')
    agents = await startMesh(scope, hosts)
  })

  it('a host that stops for a while is suspect meanwhile, and comes back with all its records', async t => {
    const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent]
    const served = c.spawn(['serve', SITE])
    await served.says(/serving/, 'stderr')
    await waitFor(async () => (await a.cli('services', SITE)).includes(SITE), 'the service to be known')
    process.kill(c.pid, 'SIGSTOP')
    t.after(() => void process.kill(c.pid, 'SIGCONT'))
    for (const agent of [a, b]) {
      const shown = /suspect for \d/
      await waitFor(async () => shown.test(await agent.cli('services', SITE)), 'the service to be shown as suspect')
      assert.match(await agent.cli('members'), shown)
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
    await served.stop()
  })

  it('two hosts of which one does not hear the other keep each other, by those in between', async t => {
    const [a, , c] = agents as [TestAgent, TestAgent, TestAgent]
    const [first, , last] = hosts as [Host, Host, Host]
    const seqOf = async (): Promise<bigint> => BigInt((await membersOf(a)).get(c.name)?.seq ?? 0)
    const ended = watch(agents)
    last.stopHearing(first)
    // Five refreshes are longer than a lease.
    const wanted = (await seqOf()) + 5n
    await waitFor(async () => (await seqOf()) >= wanted, 'a lease to pass', 60_000)
    const { gone, suspected } = await ended()
    const state = (await membersOf(a)).get(c.name)?.state
    last.heal()
    assert.deepEqual(gone, [])
    t.diagnostic(`suspected meanwhile: ${suspected.join(', ') || 'nobody'}`)
    assert.notEqual(state, 'suspect')
  })

  it('a link that comes and goes each second evicts nobody, and heals', async t => {
    const [, , last] = hosts as [Host, Host, Host]
    const ended = watch(agents)
    for (let second = 0; second < FLAPPING_SECONDS; second += 1) {
      last.run('ip', 'link', 'set', 'eth0', second % 2 === 0 ? 'down' : 'up')
      // The fault itself takes time; nothing is waited for here.
      await pause(1_000)
    }
    last.run('ip', 'link', 'set', 'eth0', 'up')
    const { gone, suspected } = await ended()
    assert.deepEqual(gone, [])
    t.diagnostic(`suspected meanwhile: ${suspected.join(', ') || 'nobody'}`)
    await waitFor(async () => {
      const views = await Promise.all(agents.map(membersOf))
      return views.every(members => [...members.values()].every(({ state }) => state !== 'suspect'))
    }, 'nobody to be suspect any more')
    await Promise.all(agents.map(agent => agent.sees(2)))
  })

  it('kill -9 of a host takes its services out of routing on all others, and leaves the rest', async t => {
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
    t.diagnostic(
      `kill -9 to suspected on all others: ${Math.round(performance.now() - killedMs)} ms, with the commands`
    )
    assert.equal(await stateOf(a, 'm1'), 'connected')
  })
})

describe('five hosts', asRoot, () => {
  const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
  let hosts: readonly Host[]
  let agents: TestAgent[]
  before(async () => {
    hosts = await createHosts(scope, 'a', 'b', 'c', 'd', 'e')
    agents = await startMesh(scope, hosts)
  })

  it('a host that was stopped suspects nobody who is there, once it runs again', async t => {
    const stopped = agents[3]!
    const others = agents.filter(agent => agent !== stopped)
    process.kill(stopped.pid, 'SIGSTOP')
    await waitFor(async () => {
      const views = await Promise.all(others.map(membersOf))
      return views.every(members => members.get(stopped.name)?.state === 'suspect')
    }, 'the others to suspect it')
    const saidBefore = stopped.program.stderr.length
    process.kill(stopped.pid, 'SIGCONT')
    await waitFor(async () => {
      const views = await Promise.all(others.map(membersOf))
      return views.every(members => members.get(stopped.name)?.state === 'connected')
    }, 'the others to have it back')
    await stopped.sees(4)
    const said = stopped.program.stderr.slice(saidBefore)
    t.diagnostic(`suspicions after the stop: ${said.match(/member suspected/g)?.length ?? 0}`)
    const members = await membersOf(stopped)
    for (const { name } of others) assert.notEqual(members.get(name)?.state, 'suspect')
  })

  it('a host whose link is cut, which closes nothing, is skipped by all four others and comes back', async t => {
    const [victim, cutOff] = [agents[4]!, hosts[4] as Host]
    const others = agents.slice(0, 4)
    const cutMs = performance.now()
    for (const host of hosts.slice(0, 4)) cutOff.cut(host)
    await waitFor(async () => {
      const views = await Promise.all(others.map(membersOf))
      return views.every(members => members.get(victim.name)?.state === 'suspect')
    }, 'all four to suspect it')
    t.diagnostic(`cut link to suspected on the four others: ${Math.round(performance.now() - cutMs)} ms`)
    cutOff.heal()
    await waitFor(async () => {
      const views = await Promise.all(agents.map(membersOf))
      return views.every(members => [...members.values()].every(({ state }) => state !== 'suspect'))
    }, 'nobody to be suspect any more')
  })

  it('kill -9 of one of five takes it out of routing on all four others, without waiting for its lease', async t => {
    const [founder] = agents as [TestAgent]
    await founder.allow('dev.*.*.*', 'dev.*.*.*')
    const victim = agents[4]!
    const others = agents.slice(0, 4)
    const served = victim.spawn(['serve', SITE])
    await served.says(/serving/, 'stderr')
    await Promise.all(others.map(agent => agent.knows(SITE)))
    await Promise.all(others.map(agent => agent.follows(founder)))
    const killedMs = performance.now()
    await victim.kill()
    await waitFor(
      async () => (await Promise.all(others.map(isSkipped))).every(Boolean),
      'all four to pass it over',
      OUT_OF_ROUTING_MS
    )
    t.diagnostic(
      `kill -9 of one of five to out of routing on the four others: ${Math.round(performance.now() - killedMs)} ms`
    )
    const { code, stderr } = await others[1]!.attempt(['connect', SITE])
    assert.equal(code, 1)
    assert.match(stderr, /DESTINATION_UNREACHABLE|DESTINATION_NOT_FOUND/)
    for (const agent of others) {
      const members = await membersOf(agent)
      for (const { name } of others) assert.notEqual(members.get(name)?.state, 'suspect', `${name} on ${agent.name}`)
    }
  })
})
