import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot, createHosts, type Host, scopeOf, type TestAgent, waitFor } from '../harness/index.ts'
import { membersOf, register, registrationsOn, startMesh } from './support/mesh-of-hosts.ts'

const STOPPED_MS = 15_000
/** Of up to 32 hosts, as docs/protocol/registry.md says. */
const LEASE_MS = 20_000

test('of five hosts one is cut off, one is killed and one is stopped: each is told as what it is', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b', 'c', 'd', 'e')
  const agents = await startMesh(scope, hosts)
  const [a, b, killed, stopped, cutOff] = agents as [TestAgent, TestAgent, TestAgent, TestAgent, TestAgent]
  const cutHost = hosts[4] as Host

  await t.test(
    'a registration that one host cannot hear of is partial, names it, and reaches it after all',
    async t => {
      for (const host of hosts.slice(0, 4)) cutHost.cut(host)
      const askedMs = performance.now()
      const { replication } = await register(a, 'dev.cut.web.default', 'all')
      t.diagnostic(`answered after ${((performance.now() - askedMs) / 1_000).toFixed(1)} s, the deadline being 5 s`)
      assert.equal(replication?.state, 'partial')
      assert.deepEqual(replication.missing, ['m4'])
      assert.equal(replication.acked, 3)
      assert.ok(!(await registrationsOn(cutOff)).some(({ address }) => address.startsWith('dev.cut.')))
      const healedMs = performance.now()
      cutHost.heal()
      await cutOff.knows('dev.cut.web.default')
      t.diagnostic(`known there ${((performance.now() - healedMs) / 1_000).toFixed(1)} s after the link was back`)
      assert.equal((await register(a, 'dev.cut.again.default', 'all')).replication?.state, 'replicated')
    }
  )

  await t.test('a stopped host is suspect and keeps its records; a killed one loses them with its lease', async t => {
    await register(killed, 'dev.killed.web.default')
    await register(stopped, 'dev.stopped.web.default')
    for (const agent of [a, b]) {
      await agent.knows('dev.killed.web.default')
      await agent.knows('dev.stopped.web.default')
    }
    const stoppedEpoch = (await membersOf(a)).get('m3')?.epoch
    process.kill(stopped.pid, 'SIGSTOP')
    scope.defer(() => process.kill(stopped.pid, 'SIGCONT'))
    const startedMs = performance.now()
    await killed.kill()
    let suspected = false
    const goneAfterMs = new Map<string, number>()
    const look = async (agent: TestAgent): Promise<void> => {
      const known = await registrationsOn(agent)
      const kept = known.find(({ address }) => address.startsWith('dev.stopped.'))
      assert.ok(kept, `${agent.name} keeps the record of the stopped host`)
      if (kept.suspect === true) suspected = true
      const left = known.some(({ address }) => address.startsWith('dev.killed.'))
      if (!left && !goneAfterMs.has(agent.name)) goneAfterMs.set(agent.name, performance.now() - startedMs)
    }
    const lookUntil = async (isOver: () => boolean): Promise<void> => {
      while (!isOver()) {
        await Promise.all([a, b].map(look))
        await pause(100)
      }
    }
    await lookUntil(() => performance.now() - startedMs > STOPPED_MS)
    assert.ok(suspected, 'the stopped host was shown as suspect')
    process.kill(stopped.pid, 'SIGCONT')
    await waitFor(async () => {
      await Promise.all([a, b].map(look))
      const known = await Promise.all([a, b].map(registrationsOn))
      return known.every(list => list.some(one => one.address.startsWith('dev.stopped.') && one.suspect !== true))
    }, 'the stopped host to be back')
    assert.equal((await membersOf(a)).get('m3')?.epoch, stoppedEpoch, 'it goes on, and does not begin anew')
    // The lease counts from its last head; what comes on top is the commands and the machine.
    await lookUntil(() => goneAfterMs.size === 2 || performance.now() - startedMs > LEASE_MS + 10_000)
    assert.deepEqual([...goneAfterMs.keys()].sort(), ['m0', 'm1'])
    const seconds = [...goneAfterMs.values()].map(ms => (ms / 1_000).toFixed(1)).join(' and ')
    t.diagnostic(`records of the killed host gone after ${seconds} s, its lease being ${LEASE_MS / 1_000} s`)
  })
})
