import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { DEFAULT_LEASES, leaseFor, owner, owners } from '../../src/registry/index.ts'
import { checkLeases, leaseLeftMs } from '../../src/registry/lease.ts'
import { resolveLimits } from '../../src/registry/limits.ts'
import { alarmsOf, mesh, Node, START_MS, Time, verdictOf } from './world.ts'

const invalidOption = (err: unknown) => WarrenError.is(err, ErrorCode.InvalidOption)

test('refresh and lease grow with the mesh', () => {
  assert.deepEqual(
    [1, 64, 65, 256, 257, 5_000]
      .map(owners => leaseFor(DEFAULT_LEASES, owners))
      .map(({ refreshMs, leaseMs }) => [refreshMs, leaseMs]),
    [
      [5_000, 20_000],
      [5_000, 20_000],
      [10_000, 35_000],
      [10_000, 35_000],
      [20_000, 65_000],
      [20_000, 65_000]
    ]
  )
})

test('a lease that does not outlive three refreshes is refused', () => {
  const endless = Number.POSITIVE_INFINITY
  assert.throws(() => checkLeases([{ maxOwners: endless, refreshMs: 5_000, leaseMs: 14_999 }]), invalidOption)
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
    assert.equal(verdictOf(effects), 'accept')
    assert.equal(effects.length, 1, 'nothing to write, to announce or to acknowledge')
    a.step({ type: 'tick' })
  }
  assert.deepEqual(a.sees(b), ['web'])
  const view = owner(a.state, b.peer)
  assert.ok(view !== undefined && view.seq > view.recordSeq)
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
  assert.equal(verdictOf(a.hear(b.sent.at(-1), b)), 'accept')
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
