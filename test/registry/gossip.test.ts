import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sealHead, toWire } from '../../src/registry/head.ts'
import {
  DEFAULT_LIMITS,
  type Effect,
  find,
  lookup,
  owner,
  owners,
  quarantined,
  records,
  sizes
} from '../../src/registry/index.ts'
import { SENT_TO_ALL_BYTES, sentToAll } from '../../src/registry/message.ts'
import { RecordSet } from '../../src/registry/record-set.ts'
import { decodeGossip } from '../../src/registry/wire-bounds.ts'
import { create, registryPb, toBinary } from '../../src/wire/index.ts'
import { alarmsOf, fakeSign, keyOf, mesh, Node, recordOf, TD, Time, typesOf, verdictOf } from './world.ts'

function pair(): [Node, Node, Time] {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  return [a, b, time]
}

/** A head of `node` with something changed, signed with its key. */
function forge(node: Node, change: Partial<Parameters<typeof sealHead>[0]>, key = node.key) {
  const held = node.state.entries.get(node.peer)!.sealed.head
  return sealHead({ ...held, ...change }, TD, bytes => fakeSign(key, bytes))
}

function asGossip(sealed: ReturnType<typeof sealHead>, delta?: { fromSeq: bigint; puts: Uint8Array[] }): Uint8Array {
  const head = toWire(sealed)
  const event =
    delta === undefined
      ? ({ case: 'head', value: head } as const)
      : ({
          case: 'delta',
          value: create(registryPb.DeltaSchema, {
            owner: sealed.head.ownerKey,
            epoch: sealed.head.epoch,
            toSeq: sealed.head.recordSeq,
            head,
            ...delta
          })
        } as const)
  return toBinary(registryPb.GossipSchema, create(registryPb.GossipSchema, { event }))
}

test('a change reaches another host in one message, is on disk before it is acknowledged, and is acknowledged', () => {
  const [a, b] = pair()
  b.step({ type: 'await-acks', phase: 'begin' })
  b.put('web', 'api')
  const effects = a.hear(b.sent.at(-1), b)
  assert.deepEqual(typesOf(effects), ['verdict', 'persist', 'changed', 'send-ack'])
  assert.deepEqual(a.sees(b), ['api', 'web'])
  b.delete('web')
  const deleted = a.hear(b.sent.at(-1), b).find(effect => effect.type === 'changed')
  assert.equal(deleted?.removed.length, 1)
  assert.deepEqual(a.sees(b), ['api'])
})

test('a message heard twice, or after a newer one, changes nothing', () => {
  const [a, b] = pair()
  b.put('web')
  b.delete('web')
  const [put, deleted] = b.sent.slice(-2)
  a.hear(put, b)
  a.hear(deleted, b)
  for (const late of [put, deleted, put]) assert.deepEqual(typesOf(a.hear(late, b)), ['verdict'])
  assert.deepEqual(a.sees(b), [], 'the deleted record did not come back')
})

test('a change that builds on one that was missed asks for a sync, and is handed on', () => {
  const [a, b] = pair()
  b.put('web')
  b.put('api')
  const effects = a.hear(b.sent.at(-1), b)
  assert.deepEqual(typesOf(effects), ['verdict', 'sync-with'])
  assert.equal(verdictOf(effects), 'accept')
  assert.deepEqual(a.sees(b), [], 'no half of a set is ever shown')
  a.pull(b)
  assert.deepEqual(a.sees(b), ['api', 'web'])
})

test('a refresh whose root differs from what is held asks for a sync', () => {
  const [a, b] = pair()
  b.put('web')
  b.step({ type: 'refresh' })
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict', 'sync-with'])
})

test('a host never heard of is asked for, and not believed', () => {
  const time = new Time()
  const [a, b] = [new Node('a', time), new Node('b', time)]
  const effects = a.hear(b.sent.at(-1), b)
  assert.equal(verdictOf(effects), 'ignore')
  assert.deepEqual(effects.find(effect => effect.type === 'sync-with')?.peer, b.peer)
  assert.equal(owners(a.state).length, 1)
})

test('what is not signed by its owner is rejected', () => {
  const [a, b] = pair()
  const newer = { seq: 100n, recordSeq: 100n }
  assert.equal(verdictOf(a.hear(asGossip(forge(b, newer, keyOf('mallory'))), b)), 'reject')
  assert.equal(verdictOf(a.hear(Buffer.from('nonsense'), b)), 'reject')
  assert.equal(verdictOf(a.hear(new Uint8Array(), b)), 'reject')
  assert.equal(verdictOf(a.hear(new Uint8Array(200_000), b)), 'reject')
  const otherDomain = sealHead({ ...b.state.entries.get(b.peer)!.sealed.head, ...newer }, 'other.org', bytes =>
    fakeSign(b.key, bytes)
  )
  assert.equal(verdictOf(a.hear(asGossip(otherDomain), b)), 'reject')
})

test('a host cannot speak as another machine', () => {
  const [a, b] = pair()
  const before = owner(a.state, b.peer)
  const effects = a.hear(asGossip(forge(b, { seq: 100n, machine: 'c' })), b)
  assert.deepEqual(typesOf(effects), ['verdict'])
  assert.equal(owner(a.state, b.peer), before)
})

test('a neighbour that alters a change on its way is not forwarded, and the owner is not blamed', () => {
  const [a, b] = pair()
  b.put('web')
  const sealed = b.state.entries.get(b.peer)!.sealed
  const foreign = new Node('x', new Time())
  foreign.put('evil')
  const evil = [...foreign.state.own.set][0]!.bytes
  const effects = a.hear(asGossip(sealed, { fromSeq: 1n, puts: [evil] }), b)
  assert.deepEqual(typesOf(effects), ['verdict', 'sync-with'])
  assert.equal(verdictOf(effects), 'ignore')
  assert.deepEqual(quarantined(a.state), [])
  a.pull(b)
  assert.deepEqual(a.sees(b), ['web'])
})

test('a host that signs a workload of another machine into its set is quarantined, with proof', () => {
  const [a, b] = pair()
  b.put('web')
  a.hear(b.sent.at(-1), b)
  const foreign = new Node('x', new Time())
  foreign.put('evil')
  const set = RecordSet.empty.with([...foreign.state.own.set], [])
  const sealed = forge(b, { seq: 9n, recordSeq: 9n, root: set.root, count: 1 })
  const effects = a.hear(asGossip(sealed, { fromSeq: 0n, puts: [...set].map(({ bytes }) => bytes) }), b)
  assert.deepEqual(alarmsOf(effects), ['invalid-set'])
  assert.deepEqual(a.sees(b), [])
  assert.equal(quarantined(a.state)[0]?.peer, b.peer)
  b.put('more')
  assert.equal(verdictOf(a.hear(b.sent.at(-1), b)), 'ignore')
})

test('two heads of one seq are kept as proof, and the owner is quarantined until a later epoch', () => {
  const [a, b, time] = pair()
  b.put('web')
  a.hear(b.sent.at(-1), b)
  const { seq, epoch } = b.state.own
  const effects = a.hear(asGossip(forge(b, { draining: true })), b)
  const alarm = effects.find(effect => effect.type === 'alarm')
  assert.equal(alarm?.kind, 'equivocation')
  assert.equal(alarm?.proof.length, 2)
  assert.notDeepEqual(alarm?.proof[0], alarm?.proof[1])
  assert.deepEqual(a.sees(b), [], 'hidden')
  assert.equal(verdictOf(a.hear(asGossip(forge(b, { seq: seq + 5n })), b)), 'ignore')
  a.pull(b)
  assert.deepEqual(a.sees(b), [], 'not let in by the other door')
  time.pass(50_000)
  const early = new Node('b', time, { highWaterMarks: [...b.disk.values()] })
  assert.deepEqual(typesOf(a.hear(early.sent.at(-1), early)), ['verdict'])
  a.pull(early)
  assert.equal(owner(a.state, b.peer), undefined, 'not before its time, whatever the epoch')
  time.pass(11_000)
  b.step({ type: 'refresh' })
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict'], 'not in the same epoch, whatever the time')
  const restarted = new Node('b', time, { highWaterMarks: [...b.disk.values()] })
  assert.ok(restarted.state.own.epoch > epoch)
  restarted.put('web')
  a.pull(restarted)
  assert.deepEqual(a.sees(restarted), ['web'])
  assert.deepEqual(quarantined(a.state), [])
})

test('the quarantine of an owner whose new epoch begins with a bad set lasts beyond that epoch', () => {
  const [a, b, time] = pair()
  time.pass(10)
  const again = new Node('b', time, { highWaterMarks: [...b.disk.values()] })
  const foreign = new Node('x', new Time())
  foreign.put('evil')
  const set = RecordSet.empty.with([...foreign.state.own.set], [])
  const sealed = forge(again, { seq: 9n, recordSeq: 9n, root: set.root, count: 1 })
  a.hear(asGossip(sealed, { fromSeq: 0n, puts: [...set].map(({ bytes }) => bytes) }), b)
  assert.equal(quarantined(a.state)[0]?.peer, b.peer)
  time.pass(61_000)
  for (let round = 0; round < 10; round += 1) again.step({ type: 'refresh' })
  a.pull(again)
  assert.equal(owner(a.state, b.peer), undefined)
})

test('an owner that changes its set goes on from its last word, and not from the last change before', () => {
  const [a, b] = pair()
  b.put('web')
  for (const _ of [1, 2]) b.step({ type: 'refresh' })
  a.pull(b)
  const { recordSeq, seq } = b.state.own
  const forked = forge(b, { seq: seq + 1n, recordSeq: recordSeq + 1n, root: '11'.repeat(32) })
  assert.deepEqual(alarmsOf(a.hear(asGossip(forked), b)), ['equivocation'])
})

test('two sets of one record_seq, and two histories, are equivocation as well', () => {
  for (const change of [
    { seq: 10n, root: '11'.repeat(32) },
    { seq: 10n, recordSeq: 1n, root: '11'.repeat(32) }
  ]) {
    const [a, b] = pair()
    b.put('web')
    b.put('api')
    a.pull(b)
    assert.deepEqual(alarmsOf(a.hear(asGossip(forge(b, change)), b)), ['equivocation'])
  }
})

test('a flood of valid heads is cut off at the cap, with one alarm, and sync still brings the last of them', () => {
  const time = new Time()
  const a = new Node('a', time, { limits: { gossipPerSecond: 10, gossipBurst: 20 } })
  const b = new Node('b', time)
  a.pull(b)
  const alarms: string[] = []
  let taken = 0
  for (let round = 0; round < 100; round += 1) {
    b.step({ type: 'refresh' })
    alarms.push(...alarmsOf(a.hear(b.sent.at(-1), b)))
    if (owner(a.state, b.peer)?.seq === b.state.own.seq) taken += 1
  }
  assert.equal(taken, 20)
  assert.deepEqual(limitsOf(a.effects), Array(80).fill('registry_gossip_rate'))
  assert.deepEqual(alarms, ['rate-exceeded'])
  a.pull(b)
  assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
  time.pass(1_000)
  b.step({ type: 'refresh' })
  a.hear(b.sent.at(-1), b)
  assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
})

test('above its cap, nothing that an owner sends itself is verified; what others hand on of it still is', t => {
  const time = new Time()
  const nodes = ['a', 'b', 'c'].map(
    machine => new Node(machine, time, { limits: { gossipPerSecond: 10, gossipBurst: 20 } })
  )
  const [a, b, c] = nodes as [Node, Node, Node]
  a.pull(b)
  a.pull(c)
  const verify = t.mock.method(a.state, 'verify')
  for (let round = 0; round < 50; round += 1) {
    b.step({ type: 'refresh' })
    a.hear(b.sent.at(-1), b)
  }
  assert.equal(verify.mock.callCount(), 20)
  // Anybody could name b as the owner, so that must not be what refuses it.
  a.hear(b.sent.at(-1), c)
  assert.equal(verify.mock.callCount(), 21)
})

test('a neighbour that keeps sending forgeries is no longer listened to, others are', () => {
  const time = new Time()
  const nodes = ['a', 'b', 'c'].map(
    machine => new Node(machine, time, { limits: { gossipPerSecond: 10, gossipBurst: 20 } })
  )
  const [a, b, c] = nodes as [Node, Node, Node]
  a.pull(b)
  a.pull(c)
  const verdicts = Array.from({ length: 30 }, () => verdictOf(a.hear(Buffer.from('x'), c)))
  assert.equal(verdicts.filter(verdict => verdict === 'reject').length, 20)
  assert.equal(verdicts.at(-1), 'ignore')
  assert.deepEqual(new Set(limitsOf(a.effects)), new Set(['registry_invalid_rate']))
  b.put('web')
  assert.equal(verdictOf(a.hear(b.sent.at(-1), b)), 'accept-later')
})

test('a change too large for one message travels as a head, and by sync', () => {
  const [a, b] = pair()
  b.put(...Array.from({ length: 1_500 }, (_, at) => `n${at}`))
  assert.ok(b.sent.at(-1)!.length < 2_000)
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict', 'sync-with'])
  a.pull(b)
  assert.equal(records(a.state, b.peer).length, 1_500)
})

test('a new epoch that starts from nothing needs no sync', () => {
  const [a, b, time] = pair()
  b.put('web')
  a.hear(b.sent.at(-1), b)
  time.pass(10)
  const restarted = new Node('b', time, { highWaterMarks: [...b.disk.values()] })
  assert.equal(verdictOf(a.hear(restarted.sent.at(-1), restarted)), 'accept-later')
  assert.deepEqual(a.sees(restarted), [])
  restarted.put('api')
  a.hear(restarted.sent.at(-1), restarted)
  assert.deepEqual(a.sees(restarted), ['api'])
})

test('an owner beyond the cap is not taken, and an operator hears of it', () => {
  const time = new Time()
  const a = new Node('a', time, { limits: { maxOwners: 2 } })
  const [b, c] = [new Node('b', time), new Node('c', time)]
  a.pull(b)
  a.pull(c)
  assert.equal(owners(a.state).length, 2)
  assert.deepEqual(alarmsOf(a.effects), ['registry-full'])
  assert.deepEqual(limitsOf(a.effects), ['registry_owners'])
})

test('a set beyond the room for all records is not taken, and what is held stays', () => {
  const time = new Time()
  const a = new Node('a', time, { limits: { maxTotalBytes: 2_000 } })
  const b = new Node('b', time)
  b.put('web')
  a.pull(b)
  b.put(...Array.from({ length: 40 }, (_, at) => `n${at}`))
  a.pull(b)
  assert.deepEqual(alarmsOf(a.effects), ['registry-full'])
  assert.deepEqual(limitsOf(a.effects), ['registry_total_bytes'])
  assert.deepEqual(a.sees(b), ['web'])
})

test('the room for all records is that of the sets as they are, and what has changed or gone takes none', () => {
  const time = new Time()
  const names = Array.from({ length: 8 }, (_, at) => `n${at}`)
  const probe = new Node('b', time)
  probe.put(...names)
  const { bytes } = probe.state.own.set
  const a = new Node('a', time, { limits: { maxTotalBytes: bytes + 50 } })
  const b = new Node('b', time)
  b.put(...names)
  a.pull(b)
  for (const version of ['2', '3', '4']) {
    b.step({ type: 'local-change', puts: [recordOf('b', 'n0', { labels: { version } })], deletes: [] })
    a.hear(b.sent.at(-1), b)
    assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
    assert.equal(sizes(a.state).bytes, b.state.own.set.bytes)
  }
  a.revoked.add(b.peer)
  a.step({ type: 'trust-changed' })
  assert.equal(sizes(a.state).bytes, 0)
})

test('the oldest of too many high-water marks are removed, but none of an owner that is held', () => {
  const time = new Time()
  const a = new Node('a', time, { limits: { maxOwners: 3 } })
  const b = new Node('b', time)
  a.pull(b)
  const others = Array.from({ length: 14 }, (_, at) => new Node(`m${at}`, time))
  for (const other of others) {
    a.pull(other)
    a.revoked.add(other.peer)
    a.step({ type: 'trust-changed' })
  }
  assert.equal(sizes(a.state).highWaterMarks, 12)
  assert.ok(a.state.highWaterMarks.has(b.peer) && a.disk.has(b.peer))
  assert.ok(!a.state.highWaterMarks.has(others[0]!.peer) && !a.disk.has(others[0]!.peer))
})

test('a host whose set breaks a limit is quarantined, and the alarm names the limit', () => {
  const time = new Time()
  const a = new Node('a', time, { limits: { maxLabels: 2 } })
  const b = new Node('b', time)
  const labels = { one: '1', two: '2', three: '3' }
  b.step({ type: 'local-change', puts: [recordOf('b', 'web', { labels })], deletes: [] })
  a.pull(b)
  assert.equal(quarantined(a.state)[0]?.peer, b.peer)
  const named = a.effects.flatMap(effect => (effect.type === 'alarm' ? [[effect.kind, effect.limit]] : []))
  assert.deepEqual(named, [['invalid-set', 'registry_labels']])
})

test('a record beyond the scopes of its host is hidden from routing', () => {
  const time = new Time()
  const a = new Node('a', time)
  const b = new Node('b', time, { scopes: ['prod'] })
  b.step({ type: 'local-change', puts: [recordOf('b', 'web')], deletes: [] })
  a.pull(b)
  assert.equal(owner(a.state, b.peer)?.count, 1)
  assert.deepEqual(a.sees(b), [])
  const { address, registrationId } = recordOf('b', 'web')
  assert.deepEqual(lookup(a.state, address), [])
  assert.equal(find(a.state, registrationId), undefined)
})

function limitsOf(effects: readonly Effect[]): string[] {
  return effects.flatMap(effect => (effect.type === 'limit' ? [effect.limit] : []))
}

test('what its owner tells everybody is taken from the owner and not handed on, what somebody else hands on is', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  b.put('web')
  const bytes = sentToAll(b.sent.at(-1)!)
  assert.equal(verdictOf(a.hear(bytes, b)), 'ignore')
  assert.deepEqual(a.sees(b), ['web'])
  assert.equal(verdictOf(c.hear(bytes, a)), 'accept', 'not the word of its owner')
  assert.deepEqual(c.sees(b), ['web'])
})

test('the largest change that goes in one message does so also with the word that everybody is told', () => {
  const maxGossipBytes = 2_000
  let sent: Uint8Array
  let count = 0
  do {
    count += 1
    const node = new Node('b', new Time(), { limits: { maxGossipBytes } })
    node.put(...Array.from({ length: count }, (_, at) => `n${at}`))
    sent = node.sent.at(-1)!
    assert.ok(sentToAll(sent).length <= maxGossipBytes)
  } while (decodeGossip(sent, DEFAULT_LIMITS).event.case === 'delta')
  assert.equal(sentToAll(new Uint8Array()).length, SENT_TO_ALL_BYTES)
})
