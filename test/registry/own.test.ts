import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { encodeAck, find, isEnough, lookup, owners, records, replication, self } from '../../src/registry/index.ts'
import { alarmsOf, chainOf, idOf, mesh, Node, recordOf, settle, Time, typesOf } from './world.ts'

const codeOf = (code: string) => (err: unknown) => err instanceof WarrenError && err.code === code

test('a change is published once; a change that changes nothing is not', () => {
  const a = new Node('a', new Time())
  assert.deepEqual(typesOf(a.put('web')), ['changed', 'publish'])
  assert.deepEqual(a.put('web'), [])
  assert.deepEqual(a.delete('api'), [])
  assert.deepEqual(a.announce({}), [])
  assert.deepEqual(typesOf(a.announce({ policyVersion: 2n })), ['publish'])
  assert.deepEqual(typesOf(a.delete('web')), ['changed', 'publish'])
})

test('what was registered before the first head goes out with it', () => {
  const time = new Time()
  const a = new Node('a', time, { publishes: false })
  assert.deepEqual(a.put('web'), [])
  assert.deepEqual(typesOf(a.announce({})), ['persist', 'changed', 'publish'])
  assert.deepEqual(a.sees(a), ['web'])
  const b = new Node('b', time)
  b.pull(a)
  assert.deepEqual(b.sees(a), ['web'])
})

test('a record that others would refuse is refused here, and nothing changes', () => {
  const a = new Node('a', new Time(), { limits: { maxRecords: 2 } })
  const put =
    (...puts: Array<ReturnType<typeof recordOf>>) =>
    () =>
      a.step({ type: 'local-change', puts, deletes: [] })
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, 'v']))
  assert.throws(put(recordOf('b', 'web')), codeOf(ErrorCode.InvalidArgument))
  assert.throws(put(recordOf('a', 'web', { registrationId: 'abc' })), codeOf(ErrorCode.InvalidArgument))
  assert.throws(put(recordOf('a', 'web', { labels: many(33) })), codeOf(ErrorCode.InvalidArgument))
  assert.throws(put(recordOf('a', 'web', { labels: { big: 'x'.repeat(257) } })), codeOf(ErrorCode.InvalidArgument))
  const heavy = Object.fromEntries(Array.from({ length: 32 }, (_, at) => [`k${at}`, 'x'.repeat(256)]))
  assert.throws(put(recordOf('a', 'web', { labels: heavy })), codeOf(ErrorCode.LimitExceeded))
  assert.throws(put(recordOf('a', 'w1'), recordOf('a', 'w2'), recordOf('a', 'w3')), codeOf(ErrorCode.LimitExceeded))
  assert.equal(self(a.state).seq, 1n)
  assert.deepEqual(a.sees(a), [])
})

test('a certificate chain that is not ours is refused', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  assert.throws(() => a.announce({ nodeChain: chainOf(b.identity) }), codeOf(ErrorCode.CertificateRefused))
})

test('a change counts as replicated when every host that was live has acknowledged it', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  a.step({ type: 'await-acks', phase: 'begin' })
  a.put('web')
  const { seq } = self(a.state)
  assert.deepEqual(replication(a.state, seq), { acked: 0, required: 2, missing: ['b', 'c'] })
  const ack = b.hear(a.sent.at(-1), a).find(effect => effect.type === 'send-ack')
  assert.equal(ack?.to, a.peer)
  assert.deepEqual(typesOf(a.step({ type: 'ack', from: b.peer, bytes: ack!.bytes })), ['acknowledged'])
  assert.deepEqual(a.step({ type: 'ack', from: b.peer, bytes: ack!.bytes }), [])
  assert.deepEqual(replication(a.state, seq), { acked: 1, required: 2, missing: ['c'] })
  a.put('api')
  const late = c
    .pull(a)
    .steps.flatMap(({ effects }) => effects)
    .find(effect => effect.type === 'send-ack')
  a.step({ type: 'ack', from: c.peer, bytes: late!.bytes })
  assert.deepEqual(replication(a.state, seq), { acked: 2, required: 2, missing: [] }, 'a later one covers it')
  assert.equal(replication(a.state, 999n), undefined)
})

test('a quorum is more than half of all hosts, this one among them', () => {
  const enough = (required: number, acked: number): boolean =>
    isEnough('quorum', { required, missing: Array.from({ length: required - acked }, (_, at) => `m${at}`) })
  for (const [others, needed] of [
    [0, 0],
    [1, 1],
    [2, 1],
    [3, 2],
    [4, 2],
    [5, 3]
  ] as const) {
    assert.ok(enough(others, needed), `${needed} of ${others} others`)
    if (needed > 0) assert.ok(!enough(others, needed - 1), `${needed - 1} of ${others} others`)
  }
})

test('a refresh in between does not ask for new acknowledgements', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  a.step({ type: 'await-acks', phase: 'begin' })
  a.put('web')
  const ack = b.hear(a.sent.at(-1), a).find(effect => effect.type === 'send-ack')
  a.step({ type: 'ack', from: b.peer, bytes: ack!.bytes })
  a.step({ type: 'refresh' })
  assert.deepEqual(replication(a.state, self(a.state).seq)?.missing, [])
  assert.ok(!b.hear(a.sent.at(-1), a).some(({ type }) => type === 'send-ack'))
})

test('a host that vanished stays missing, one that came later is not required', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  a.put('web')
  const { seq } = self(a.state)
  time.pass(60_000)
  a.step({ type: 'tick' })
  a.pull(new Node('c', time))
  assert.deepEqual(replication(a.state, seq), { acked: 0, required: 1, missing: [b.machine] })
})

test('a host that says goodbye is not waited for, until it is back', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  a.put('web')
  const { seq } = self(a.state)
  assert.deepEqual(replication(a.state, seq)?.missing, [b.machine])
  b.step({ type: 'leave' })
  a.hear(b.sent.at(-1), b)
  assert.deepEqual(replication(a.state, seq), { acked: 0, required: 0, missing: [] })
  a.put('api')
  assert.equal(replication(a.state, self(a.state).seq)?.required, 0)
  a.pull(new Node('b', time, { highWaterMarks: [...b.disk.values()] }))
  a.put('cart')
  assert.deepEqual(replication(a.state, self(a.state).seq)?.missing, [b.machine])
})

test('acknowledgements that cannot be true are ignored', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const { epoch, seq } = self(a.state)
  const stranger = new Node('x', time)
  const take = (from: Node, ofEpoch: bigint, ofSeq: bigint) =>
    a.step({ type: 'ack', from: from.peer, bytes: encodeAck(ofEpoch, ofSeq) })
  assert.deepEqual(take(b, epoch - 1n, 1n), [])
  assert.deepEqual(take(stranger, epoch, seq), [])
  assert.deepEqual(take(stranger, epoch + 1n, 1n), [])
  assert.throws(() => a.step({ type: 'ack', from: b.peer, bytes: Uint8Array.of(8) }), WarrenError)
})

test('a host with an old disk and an old clock is heard again although its past has ended everywhere', () => {
  // Found by the simulator: nobody held its past any more, so it never met it, and all took its heads for stale.
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  a.pull(b)
  time.pass(120_000)
  a.step({ type: 'tick' })
  const old = new Time()
  old.wallMs -= 600_000
  const restored = new Node('b', old)
  old.wallMs = time.wallMs
  restored.step({ type: 'refresh' })
  restored.put('new')
  restored.pull(a)
  assert.ok(self(restored.state).epoch < self(b.state).epoch)
  const ack = a.pull(restored).steps.flatMap(({ effects }) => effects.filter(({ type }) => type === 'send-ack'))[0]
  assert.ok(ack?.type === 'send-ack')
  assert.equal(ack.to, restored.peer)
  const met = restored.step({ type: 'ack', from: a.peer, bytes: ack.bytes })
  assert.deepEqual(typesOf(met), ['persist', 'alarm', 'publish'])
  a.pull(restored)
  assert.deepEqual(a.sees(restored), ['new'])
})

test('a word about our past moves our epoch to a day ahead of our clock at the most', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const { epoch } = self(a.state)
  const tell = (ahead: number) =>
    alarmsOf(a.step({ type: 'ack', from: b.peer, bytes: encodeAck(BigInt(time.wallMs + ahead), 1n) }))
  assert.deepEqual(tell(25 * 3_600_000), ['own-state-ahead'])
  assert.equal(self(a.state).epoch, epoch)
  assert.deepEqual(tell(23 * 3_600_000), ['own-state-ahead'])
  assert.equal(self(a.state).epoch, BigInt(time.wallMs + 23 * 3_600_000) + 1n)
})

test('an owner whose quarantine has passed is told to come back with a greater epoch', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const twin = new Node('b', time)
  twin.put('other')
  b.put('web')
  a.hear(b.sent.at(-1), b)
  a.hear(twin.sent.at(-1), b)
  assert.deepEqual(alarmsOf(a.effects), ['equivocation'])
  time.pass(60_000)
  b.step({ type: 'refresh' })
  const ack = a.pull(b).steps.flatMap(({ effects }) => effects.filter(({ type }) => type === 'send-ack'))[0]
  assert.ok(ack?.type === 'send-ack')
  b.pull(a)
  b.step({ type: 'ack', from: a.peer, bytes: ack.bytes })
  a.pull(b)
  assert.deepEqual(a.sees(b), ['web'])
})

test('routing finds records by name and by id, and sees suspicion without losing data', () => {
  const time = new Time()
  const nodes = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  const [a, b, c] = nodes
  b.put('web', 'api')
  c.put('web')
  settle(nodes)
  const name = { scope: 'dev', appGroup: 'web', appIdentity: 'web', resourceGroup: 'default' }
  const machines = () =>
    lookup(a.state, name)
      .map(({ owner }) => `${owner.machine}${owner.suspect ? '?' : ''}`)
      .sort()
  assert.deepEqual(machines(), ['b', 'c'])
  assert.deepEqual(typesOf(a.step({ type: 'suspect', peer: b.peer, suspect: true })), ['changed'])
  assert.deepEqual(a.step({ type: 'suspect', peer: b.peer, suspect: true }), [])
  assert.deepEqual(machines(), ['b?', 'c'])
  assert.equal(records(a.state, b.peer).length, 2)
  a.step({ type: 'suspect', peer: b.peer, suspect: false })
  assert.deepEqual(machines(), ['b', 'c'])
  assert.equal(find(a.state, idOf('b', 'api'))?.owner.machine, 'b')
  assert.deepEqual(find(a.state, idOf('b', 'api'))?.owner.dataAddresses, ['127.0.0.1:7461'])
  b.delete('web')
  a.pull(b)
  assert.deepEqual(machines(), ['c'])
  assert.equal(find(a.state, idOf('b', 'web')), undefined)
})

test('an owner under suspicion stays so when it is heard of again', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  a.step({ type: 'suspect', peer: b.peer, suspect: true })
  b.step({ type: 'refresh' })
  a.hear(b.sent.at(-1), b)
  b.put('web')
  a.hear(b.sent.at(-1), b)
  assert.deepEqual(
    records(a.state, b.peer).map(({ owner }) => owner.suspect),
    [true]
  )
})

test('a record that an owner no longer has when it comes back is not found by its name', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const name = { scope: 'dev', appGroup: 'web', appIdentity: 'web', resourceGroup: 'default' }
  b.put('web')
  a.pull(b)
  assert.equal(lookup(a.state, name).length, 1)
  time.pass(60_000)
  a.step({ type: 'tick' })
  assert.deepEqual(lookup(a.state, name), [])
  b.delete('web')
  a.pull(b)
  assert.ok(owners(a.state).some(({ peer }) => peer === b.peer))
  assert.deepEqual(lookup(a.state, name), [])
})

test('a host that announces the registration id of another is told apart by its owner', () => {
  const time = new Time()
  const nodes = mesh(time, 'a', 'b', 'm') as [Node, Node, Node]
  const [a, b, mallory] = nodes
  b.put('web')
  const copied = recordOf('m', 'web', { registrationId: idOf('b', 'web') })
  mallory.step({ type: 'local-change', puts: [copied], deletes: [] })
  settle(nodes)
  assert.equal(find(a.state, idOf('b', 'web'), b.peer)?.record.address.machine, 'b')
  assert.equal(find(b.state, idOf('b', 'web'))?.record.address.machine, 'b', 'our own first')
  assert.deepEqual(alarmsOf(a.effects), [])
})
