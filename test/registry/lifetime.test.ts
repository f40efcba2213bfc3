import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { clockDifferences, clockText, DEFAULT_LEASES, leaseFor, owner, owners, self } from '../../src/registry/index.ts'
import { checkLeases, leaseLeftMs } from '../../src/registry/lease.ts'
import { resolveLimits } from '../../src/registry/limits.ts'
import { alarmsOf, chainOf, mesh, Node, START_MS, settle, Time, typesOf, verdictOf } from './world.ts'

const invalidOption = (err: unknown) => WarrenError.is(err, ErrorCode.InvalidOption)

test('refresh and lease grow with the mesh', () => {
  assert.deepEqual(
    [1, 32, 33, 128, 129, 256, 512, 1_024, 2_048, 2_049, 5_000]
      .map(owners => leaseFor(DEFAULT_LEASES, owners))
      .map(({ refreshMs, leaseMs }) => [refreshMs, leaseMs]),
    [
      [5_000, 20_000],
      [5_000, 20_000],
      [60_000, 185_000],
      [60_000, 185_000],
      [60_000, 185_000],
      [60_000, 185_000],
      [60_000, 185_000],
      [126_000, 383_000],
      [195_000, 590_000],
      [295_000, 598_000],
      [295_000, 598_000]
    ]
  )
})

test('a lease that does not outlive two refreshes is refused', () => {
  const endless = Number.POSITIVE_INFINITY
  assert.throws(() => checkLeases([{ maxOwners: endless, refreshMs: 5_000, leaseMs: 9_999 }]), invalidOption)
  assert.throws(() => checkLeases([{ maxOwners: 64, refreshMs: 5_000, leaseMs: 20_000 }]), invalidOption)
  assert.throws(() => checkLeases([]), invalidOption)
  assert.throws(() => resolveLimits({ maxOwners: 0 }), invalidOption)
  assert.throws(() => resolveLimits({ maxBucketBytes: 1_048_576 }), invalidOption)
})

test('a lease ends by the earlier of receipt and issue, whatever the wall clock does', () => {
  const head = { issuedAtMs: START_MS, leaseMs: 20_000 }
  assert.equal(leaseLeftMs(head, 500, { wallMs: START_MS, monotonicMs: 500 }), 20_000)
  assert.equal(leaseLeftMs(head, 500, { wallMs: START_MS - 600_000, monotonicMs: 20_500 }), 0, 'our clock went back')
  assert.equal(leaseLeftMs(head, 500, { wallMs: START_MS + 50_000, monotonicMs: 500 }), 0, 'it came late')
})

test('an owner that stays silent is gone at the end of its lease, and not before', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  a.hear(b.sent.at(-1), b)
  time.pass(19_999)
  a.step({ type: 'tick' })
  assert.deepEqual(a.sees(b), ['web'])
  time.pass(1)
  const gone = a.step({ type: 'tick' }).find(effect => effect.type === 'changed')
  assert.equal(gone?.cause, 'expired')
  assert.deepEqual(
    gone?.removed.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.org/dev/web/web/default/b']
  )
  assert.deepEqual(a.sees(b), [])
})

test('a refreshed owner lives on without its set being sent again', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  a.hear(b.sent.at(-1), b)
  for (let round = 0; round < 20; round += 1) {
    time.pass(5_000)
    const before = b.sent.length
    b.step({ type: 'tick' })
    assert.equal(b.sent.length, before + 1, 'one head for each refresh')
    const effects = a.hear(b.sent.at(-1), b)
    // Nothing to write, to announce or to acknowledge; and not handed on, since the others have it from the owner or ask.
    assert.deepEqual(effects, [{ type: 'verdict', verdict: 'ignore', reason: 'applied' }])
    a.step({ type: 'tick' })
  }
  assert.deepEqual(a.sees(b), ['web'])
  const view = owner(a.state, b.peer)
  assert.ok(view !== undefined && view.seq > view.recordSeq)
})

test('a head that announces something is handed on, one that only renews the lease is not', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const heard = (): string | undefined => verdictOf(a.hear(b.sent.at(-1), b))
  b.step({ type: 'refresh' })
  assert.equal(heard(), 'ignore')
  b.step({ type: 'local-head', profile: { ...b.profile, draining: true } })
  assert.equal(heard(), 'accept-later')
  b.put('web')
  assert.equal(heard(), 'accept-later')
})

test('a host that says goodbye is gone at once, is passed on, and is not revived by those who have not heard', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  b.put('web')
  for (const node of [a, c]) node.hear(b.sent.at(-1), b)
  // Also after it was drained, when its last head announces nothing else that is new.
  b.announce({ draining: true })
  for (const node of [a, c]) node.hear(b.sent.at(-1), b)
  b.step({ type: 'leave' })
  const goodbye = b.sent.at(-1)
  const effects = a.hear(goodbye, b)
  assert.equal(verdictOf(effects), 'accept-later')
  assert.deepEqual(typesOf(effects), ['verdict', 'persist', 'changed'], 'nobody waits for its acknowledgement')
  const [gone] = effects.filter(effect => effect.type === 'changed')
  assert.ok(gone?.cause === 'left' && gone.removed.length === 1)
  assert.equal(owner(a.state, b.peer), undefined)

  assert.deepEqual(c.sees(b), ['web'])
  a.pull(c)
  assert.equal(owner(a.state, b.peer), undefined, 'an older state of it is not taken again')
  a.hear(goodbye, b)
  assert.equal(owner(a.state, b.peer), undefined)
  c.hear(goodbye, a)
  assert.equal(owner(c.state, b.peer), undefined)

  const again = new Node('b', time, { highWaterMarks: [...b.disk.values()] })
  again.put('web')
  a.pull(again)
  assert.deepEqual(a.sees(again), ['web'])
})

test('a goodbye has the shortest lease, for hosts that do not know goodbyes', () => {
  const time = new Time()
  const [b] = mesh(time, 'b') as [Node]
  b.step({ type: 'leave' })
  assert.equal(owner(b.state, b.peer)?.leaseMs, 100)
})

test('an owner ends with its certificate, even in the middle of a lease', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  time.wallMs = b.identity.notAfterMs - 1
  b.step({ type: 'refresh' })
  a.hear(b.sent.at(-1), b)
  assert.equal(owners(a.state).length, 2)
  time.pass(2)
  a.step({ type: 'tick' })
  assert.equal(owner(a.state, b.peer), undefined)
})

test('the state of an owner whose certificate has ended comes back with the renewed certificate that it names', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  time.wallMs = b.identity.notAfterMs - 1
  b.announce({ nodeChain: chainOf({ ...b.identity, notAfterMs: b.identity.notAfterMs + 60_000 }, 1) })
  a.hear(b.sent.at(-1), b)
  time.pass(1)
  a.step({ type: 'tick' })
  assert.equal(owner(a.state, b.peer), undefined, 'its renewed certificate was not fetched in time')
  a.pull(b)
  assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
})

test('a head from the future is ignored and not punished; one within the skew is taken', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  time.wallMs += 30_001
  b.step({ type: 'refresh' })
  time.wallMs -= 30_001
  assert.deepEqual(alarmsOf(a.hear(b.sent.at(-1), b)), [])
  const before = owner(a.state, b.peer)?.seq
  time.wallMs += 29_000
  b.step({ type: 'refresh' })
  time.wallMs -= 29_000
  a.hear(b.sent.at(-1), b)
  assert.notEqual(owner(a.state, b.peer)?.seq, before)
})

test('a host whose own clock is behind all others says so once', () => {
  const time = new Time()
  const [a, ...others] = mesh(time, 'a', 'b', 'c', 'd') as [Node, ...Node[]]
  const alarms: string[] = []
  for (let round = 0; round < 3; round += 1) {
    time.wallMs += 600_000
    for (const other of others) other.step({ type: 'refresh' })
    time.wallMs -= 600_000
    for (const other of others) alarms.push(...alarmsOf(a.hear(other.sent.at(-1), other)))
  }
  assert.deepEqual(alarms, ['own-clock-wrong'])
})

test('a host whose clock differs from ours for seconds is named, once, and no longer when it agrees', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const alarms: string[] = []
  const hearAhead = (aheadMs: number): void => {
    time.wallMs += aheadMs
    b.step({ type: 'refresh' })
    time.wallMs -= aheadMs
    alarms.push(...alarmsOf(a.hear(b.sent.at(-1), b)))
  }
  const named = (): string[] => clockDifferences(a.state, time.monotonicMs).map(clockText)
  hearAhead(45_000)
  assert.deepEqual([alarms, named()], [[], []], 'one head alone may have been on its way for long')
  for (let round = 0; round < 3; round += 1) {
    time.pass(4_000)
    hearAhead(45_000)
  }
  assert.deepEqual(alarms, ['clock-differs'])
  assert.deepEqual(named(), ['the clock of b is about 45 s ahead of that of this host'])
  time.pass(4_000)
  hearAhead(50_000)
  time.pass(130_000)
  assert.deepEqual(named(), [], 'it was not heard for two minutes')
  hearAhead(0)
  assert.deepEqual(named(), [])
})

test('a host whose clock is behind by less than its lease is taken, and named', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const alarms: string[] = []
  for (let round = 0; round < 3; round += 1) {
    time.pass(4_000)
    time.wallMs -= 40_000
    b.step({ type: 'refresh' })
    time.wallMs += 40_000
    alarms.push(...alarmsOf(a.hear(b.sent.at(-1), b)))
  }
  assert.notEqual(owner(a.state, b.peer), undefined)
  assert.deepEqual(alarms, ['clock-differs'])
  assert.deepEqual(clockDifferences(a.state, time.monotonicMs).map(clockText), [
    'the clock of b is about 40 s behind that of this host'
  ])
})

test('old heads say that our clock is wrong if their owners send them, and nothing if somebody else hands them on', () => {
  const time = new Time()
  const [a, b, c, d] = mesh(time, 'a', 'b', 'c', 'd') as [Node, Node, Node, Node]
  for (const owner of [b, c]) owner.step({ type: 'refresh' })
  time.pass(60_000)
  for (const owner of [b, c]) assert.deepEqual(alarmsOf(a.hear(owner.sent.at(-1), d)), [])
  assert.deepEqual(alarmsOf(a.hear(b.sent.at(-1), b)), [], 'one host alone may be the one that is wrong')
  assert.deepEqual(alarmsOf(a.hear(c.sent.at(-1), c)), ['own-clock-wrong'])
})

test('a state whose lease has ended here is handed on to nobody, also before the next tick', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  time.pass(20_000)
  const fresh = new Node('fresh', time)
  fresh.pull(a)
  assert.notEqual(owner(fresh.state, a.peer), undefined)
  assert.equal(owner(fresh.state, b.peer), undefined)
})

test('a head that travelled longer than its lease is not taken', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  time.pass(20_000 + 30_000)
  assert.equal(verdictOf(a.hear(b.sent.at(-1), b)), 'ignore')
  assert.deepEqual(a.sees(b), [])
})

test('a host of a large mesh asks for the longer lease', () => {
  const time = new Time()
  const leases = [
    { maxOwners: 2, refreshMs: 1_000, leaseMs: 4_000 },
    { maxOwners: Number.POSITIVE_INFINITY, refreshMs: 2_000, leaseMs: 8_000 }
  ]
  const nodes = ['a', 'b', 'c'].map(machine => new Node(machine, time, { leases }))
  const [a, b, c] = nodes as [Node, Node, Node]
  assert.equal(owner(a.state, a.peer)?.leaseMs, 4_000)
  a.pull(b)
  a.pull(c)
  a.step({ type: 'refresh' })
  assert.equal(owner(a.state, a.peer)?.leaseMs, 8_000)
})

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
  const restarted = new Node('a', time, { highWaterMarks: [...a.disk.values()] })
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
  b.step({ type: 'await-acks', phase: 'begin' })
  b.put('web')
  const types = typesOf(a.hear(b.sent.at(-1), b))
  assert.ok(types.indexOf('persist') < types.indexOf('changed') && types.indexOf('persist') < types.indexOf('send-ack'))
  b.step({ type: 'await-acks', phase: 'end' })
  b.step({ type: 'refresh' })
  assert.deepEqual(typesOf(a.hear(b.sent.at(-1), b)), ['verdict'])
  b.step({ type: 'local-head', profile: { ...b.profile, draining: true } })
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
  const second = new Node('a', time, { highWaterMarks: [...first.disk.values()] })
  assert.equal(self(second.state).epoch, self(first.state).epoch + 1n)
})

test('a host that restarts within the millisecond of the epoch on its disk takes the next one', () => {
  const time = new Time()
  const { peer } = new Node('a', time)
  const epochAfter = (epoch: bigint) =>
    self(new Node('a', time, { highWaterMarks: [{ owner: peer, epoch, seq: 3n }] }).state).epoch
  assert.equal(epochAfter(BigInt(START_MS) - 1n), BigInt(START_MS))
  assert.equal(epochAfter(BigInt(START_MS)), BigInt(START_MS) + 1n)
  assert.equal(epochAfter(BigInt(START_MS) + 9n), BigInt(START_MS) + 10n)
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
