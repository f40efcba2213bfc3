import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import test from 'node:test'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'
import { register, registrationsOn } from './support/mesh-of-hosts.ts'

/** What agents say when two processes have one identity; which alarm comes first depends on which message arrives first. */
const NOTIFIED = /registry alarm: (own-state-ahead|duplicate-identity|equivocation)/

test('a cloned host is noticed and shown, brings back nothing that ended, and the original goes on once it is off', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const ended = await register(b, 'dev.clone.ended.default')
  await a.knows('dev.clone.ended.default')
  await b.stop()
  // As a snapshot of a virtual machine: while it ran, or just after, with what it knew then.
  const clone = new TestAgent(scope, { name: 'b', args: [] })
  cpSync(b.stateDir, clone.stateDir, { recursive: true })
  await b.start([])
  await b.sees(1)
  await register(b, 'dev.clone.original.default')
  await a.knows('dev.clone.original.default')

  const peerAddresses = (await a.status()).meshAddresses.flatMap(address => ['--bootstrap', address])
  const clonedMs = performance.now()
  await clone.start(peerAddresses)
  await register(clone, 'dev.clone.copy.default')
  await waitFor(
    () => [a, b, clone].some(({ program }) => NOTIFIED.test(program.stderr)),
    'somebody to notice the clone'
  )
  t.diagnostic(`start of the clone to the first alarm: ${((performance.now() - clonedMs) / 1_000).toFixed(1)} s`)
  const alarmed = [a, b, clone].filter(({ program }) => NOTIFIED.test(program.stderr))
  t.diagnostic(`said by: ${alarmed.map(agent => (agent === clone ? 'the clone' : agent.name)).join(', ')}`)
  const [first] = alarmed as [TestAgent]
  const shown = await first.cli('metrics')
  assert.match(
    shown,
    /^warren_registry_alarms_total\{kind="(own_state_ahead|duplicate_identity|equivocation)"\} [1-9]/m
  )
  for (const agent of [a, b, clone]) {
    const known = await registrationsOn(agent)
    assert.ok(!known.some(({ registrationId }) => registrationId === ended.registrationId), `not on ${agent.name}`)
  }

  await clone.stop()
  await register(b, 'dev.clone.after.default')
  await waitFor(
    async () => {
      const known = (await registrationsOn(a))
        .map(({ address }) => address)
        .filter(name => name.startsWith('dev.clone.'))
      return known.sort().join() === 'dev.clone.after.default.b,dev.clone.original.default.b'
    },
    'the original alone to be heard again',
    90_000
  )
  const known = await registrationsOn(a)
  assert.ok(!known.some(({ registrationId }) => registrationId === ended.registrationId))
})

test('a clone is an alarm in the status of all three hosts, and costs the third one few lines and connections', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await b.stop()
  const clone = new TestAgent(scope, { name: 'b', args: [] })
  cpSync(b.stateDir, clone.stateDir, { recursive: true })
  await b.start([])
  await b.sees(1)
  await clone.start([])

  const alarms: ReadonlyArray<readonly [TestAgent, RegExp]> = [
    [a, /^ALARM +two processes use the identity of b/m],
    [b, /^ALARM +another process uses the identity of this host/m],
    [clone, /^ALARM +another process uses the identity of this host/m]
  ]
  await Promise.all(
    alarms.map(([agent, alarm]) =>
      waitFor(async () => alarm.test(await agent.cli('status')), `the alarm of ${agent.name}`, 120_000)
    )
  )
  const { stderr } = a.program
  const count = (pattern: RegExp): number => [...stderr.matchAll(pattern)].length
  assert.equal(count(/two processes use the identity of one host/g), 1)
  // The pauses between two of them grow: formerly there were ten a second.
  assert.ok(count(/host connected/g) <= 20, stderr)
  assert.equal(count(/registry alarm/g) <= 4, true, stderr)
})
