import assert from 'node:assert/strict'
import { test } from 'node:test'
import { owner, owners, self } from '../../src/registry/index.ts'
import { alarmsOf, mesh, Node, START_MS, settle, Time, typesOf, verdictOf } from './world.ts'

test('a replay of old state stays dead after a restart, by gossip and by sync', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const stale = new Node('stale', time)
  b.put('web')
  const old = b.sent.at(-1)
  stale.pull(b)
  a.pull(b)
  b.delete('web')
  a.pull(b)
  const restarted = new Node('a', time, { marks: [...a.disk.values()] })
  restarted.pull(stale)
  assert.equal(owner(restarted.state, b.peer), undefined, 'older than the mark')
  assert.equal(verdictOf(restarted.hear(old, b)), 'ignore')
  restarted.pull(b)
  assert.deepEqual(restarted.sees(b), [])
  assert.notEqual(owner(restarted.state, b.peer), undefined, 'exactly the state of the mark is alive')
})

test('an expired state does not come back from a host that still holds it', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  a.pull(b)
  time.pass(15_000)
  const late = new Node('late', time)
  late.pull(b)
  time.pass(5_000)
  a.step({ type: 'tick' })
  late.step({ type: 'tick' })
  assert.deepEqual(late.sees(b), ['web'], 'received later, held longer')
  a.pull(late)
  assert.deepEqual(a.sees(b), [])
  b.step({ type: 'refresh' })
  a.pull(b)
  assert.deepEqual(a.sees(b), ['web'], 'a new head of the owner brings it back')
})

test('a mark is on disk before anything follows from the state, and not for mere refreshes', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  const types = typesOf(a.hear(b.sent.at(-1), b))
  assert.ok(types.indexOf('persist') < types.indexOf('changed') && types.indexOf('persist') < types.indexOf('send-ack'))
  b.step({ type: 'refresh' })
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict'])
  b.announce({ draining: true })
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict', 'persist', 'changed'])
})

test('a mark outlives the lease and ends with the certificate', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  time.pass(60_000)
  a.step({ type: 'tick' })
  assert.ok(a.disk.has(b.peer))
  time.wallMs = b.identity.notAfterMs + 1
  assert.deepEqual(a.step({ type: 'tick' }).filter(effect => effect.type === 'forget').length, 1)
  assert.ok(!a.disk.has(b.peer))
})

test('an epoch is on disk before it is used, and above the one before even if the clock went back', () => {
  const time = new Time()
  const first = new Node('a', time)
  assert.deepEqual(typesOf(first.effects), ['persist', 'publish'])
  time.wallMs -= 3_600_000
  const second = new Node('a', time, { marks: [...first.disk.values()] })
  assert.equal(self(second.state).epoch, self(first.state).epoch + 1n)
})

test('a host whose disk was restored outranks its own past as soon as it meets it', () => {
  const time = new Time()
  const b = new Node('b', time)
  time.wallMs += 3_600_000
  const past = new Node('a', time)
  past.put('old')
  b.pull(past)
  time.wallMs -= 3_600_000
  const restored = new Node('a', time)
  restored.put('new')
  assert.ok(self(restored.state).epoch < self(past.state).epoch)
  time.wallMs += 3_600_000
  restored.pull(b)
  assert.deepEqual(alarmsOf(restored.effects), ['own-state-ahead'])
  assert.equal(self(restored.state).epoch, self(past.state).epoch + 1n)
  const raise = typesOf(restored.effects).slice(-3)
  assert.deepEqual(raise, ['persist', 'alarm', 'publish'], 'to disk before it is said')
  b.pull(restored)
  assert.deepEqual(b.sees(restored), ['new'])
})

test('a digest alone, which nobody signed, does not move our epoch', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const { epoch } = self(a.state)
  const line = { owner: a.peer, ownerKey: a.key, epoch: epoch + 100n, seq: 1n, digest: '00'.repeat(8) }
  b.state.digests.set(line)
  a.pull(b)
  assert.equal(self(a.state).epoch, epoch)
})

test('two hosts with one key do not outbid each other without end, and say what is wrong', () => {
  const time = new Time()
  const twins = [new Node('a', time), new Node('a', time)] as [Node, Node]
  for (let round = 0; round < 50; round += 1) {
    for (const [one, other] of [twins, [...twins].reverse() as [Node, Node]]) {
      one.put(`n${round}`)
      other.hear(one.sent.at(-1), one)
    }
  }
  const alarms = twins.flatMap(twin => alarmsOf(twin.effects))
  assert.ok(alarms.includes('duplicate-identity'))
  assert.ok(alarms.length <= 8, `${alarms.length} alarms`)
  assert.ok(self(twins[0].state).epoch - BigInt(START_MS) < 20n)
})

test('a revoked host is dropped at once, stays out, and returns when it is admitted again', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  b.put('web')
  settle([a, b, c])
  a.revoked.add(b.peer)
  const effects = a.step({ type: 'trust-changed' })
  assert.equal(effects.find(effect => effect.type === 'changed')?.cause, 'revoked')
  a.pull(c)
  assert.equal(owners(a.state).length, 2)
  a.revoked.clear()
  a.pull(c)
  assert.deepEqual(a.sees(b), ['web'])
})
