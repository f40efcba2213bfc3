import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { adminsOn, idsOn, inForce, makeAdmin, policyOf } from './support/admins.ts'

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
