import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { adminsOn, idsOn, inForce, makeAdmin, policyOf } from './support/admins.ts'

/** As long as the issue asks for: `npm run test:partition`. */
const PARTITION_SECONDS = Number(process.env['TEST_PARTITION_SECONDS'] ?? 0)
/** After the link is back, until the changes of both are in force on every host. */
const HEALED_MS = 5_000

async function mesh(scope: Scope, hosts: readonly Host[]): Promise<TestAgent[]> {
  const [a, ...rest] = hosts.map(host => new TestAgent(scope, { name: host.name, args: [], host }))
  assert.ok(a !== undefined)
  await a.start(['--init', 'example.org'])
  for (const agent of rest) await agent.start(['--join', (await a.cli('token', 'create', agent.name)).trim()])
  await Promise.all([a, ...rest].map(agent => agent.sees(rest.length)))
  return [a, ...rest]
}

test(
  'what two admins change in two halves of a partition is in force on every host after it, and a removed one who was away changes nothing',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, 'a', 'b', 'c')
    const agents = await mesh(scope, hosts)
    const [a, b, c] = agents
    const [ha, hb, hc] = hosts
    assert.ok(a && b && c && ha && hb && hc)
    await makeAdmin(a, b, 'bob', 'admin', '--scope', 'dev', '--reason', 'on call')
    const [refused] = [await b.attempt(['allow', 'prod.*.*.*', 'dev.web.*.*'])]
    assert.match(refused.stderr, /NOT_ADMIN: bob, .* prod\.\*\.\*\.\* is not within scope dev/)
    assert.match((await c.attempt(['allow', 'dev.*.*.*', 'dev.web.*.*'])).stderr, /NOT_ADMIN/)
    const endless = ['admin', 'add', 'eve', '--role', 'owner', '--key', '/dev/zero']
    assert.match((await a.attempt(endless)).stderr, /INVALID_ARGUMENT: not the PeerId/)

    for (const other of [ha, hc]) hb.cut(other)
    await a.cli('allow', 'dev.a.*.*', 'dev.web.*.*')
    await b.cli('deny', 'dev.b.*.*', 'dev.web.*.*', '--reason', 'noisy')
    assert.equal(await idsOn(c), 'r2')
    assert.equal(await idsOn(b), 'bob/r1')
    hb.heal()
    const healedMs = performance.now()
    await inForce(agents, 'bob/r1 r2')
    t.diagnostic(`both in force on all ${Math.round(performance.now() - healedMs)} ms after the heal`)
    const stated = (await policyOf(c)).rules.find(({ id }) => id === 'bob/r1')
    assert.deepEqual([stated?.by, stated?.reason, Number(stated?.createdAtMs) > 0], ['bob', 'noisy', true])

    // bob goes on where nobody hears him, and is removed meanwhile.
    for (const other of [ha, hc]) hb.cut(other)
    await b.cli('allow', 'dev.*.*.*', 'dev.secret.*.*')
    await b.cli('policy', 'remove', 'bob/r1')
    await a.cli('admin', 'remove', 'bob', '--reason', 'left')
    hb.heal()
    await waitFor(
      async () => (await adminsOn(b)).some(({ removedBy }) => removedBy === 'founder'),
      'bob to learn of it'
    )
    await inForce(agents, 'bob/r1 r2')
    assert.match(
      (await b.attempt(['allow', 'dev.*.*.*', 'dev.x.*.*'])).stderr,
      /NOT_ADMIN: bob, .* was removed by founder: left/
    )
    // Nor after a restart of a host that has seen all of it.
    await b.stop()
    await b.start([])
    await c.stop()
    await c.start([])
    await Promise.all([b.sees(2), c.sees(2)])
    await inForce(agents, 'bob/r1 r2')
    // The statements that stay can be taken back one by one.
    await a.cli('policy', 'remove', 'bob/r1')
    await inForce(agents, 'r2')
  }
)

test(
  'two admins change the policy all the time in two halves of a long partition; then all of it is in force on every host',
  PARTITION_SECONDS > 0 ? asRoot : { skip: 'npm run test:partition' },
  async t => {
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, 'a', 'b', 'c', 'd')
    const agents = await mesh(scope, hosts)
    const [a, b, c, d] = agents
    const [left, right] = [hosts.slice(0, 2), hosts.slice(2)]
    assert.ok(a && b && c && d)
    await makeAdmin(a, c, 'bob', 'admin', '--scope', 'dev')
    for (const host of left) for (const other of right) host.cut(other)
    const ids: string[] = []
    const state = async (agent: TestAgent, ...args: string[]): Promise<void> => {
      ids.push((await agent.cli(...args)).trim())
    }
    const endsMs = performance.now() + PARTITION_SECONDS * 1_000
    for (let at = 0; performance.now() < endsMs; at += 1) {
      await Promise.all([
        state(a, 'allow', `dev.a${at}.*.*`, 'dev.web.*.*'),
        state(c, 'deny', `dev.c${at}.*.*`, 'dev.web.*.*')
      ])
    }
    const ofBob = ids.filter(id => id.startsWith('bob/'))
    const ofFounder = ids.filter(id => !id.startsWith('bob/'))
    await inForce([a, b], ofFounder.sort().join(' '))
    await inForce([c, d], ofBob.sort().join(' '))

    for (const host of left) host.heal()
    const healedMs = performance.now()
    const all = ids.sort().join(' ')
    await Promise.all(
      agents.map(async agent => {
        await waitFor(async () => (await idsOn(agent)) === all, `all changes on ${agent.name}`, HEALED_MS)
        t.diagnostic(
          `${agent.name}: ${ids.length} changes in force ${Math.round(performance.now() - healedMs)} ms after the heal`
        )
      })
    )
  }
)
