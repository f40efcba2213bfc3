import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeAck, stateDigest } from '../../src/registry/index.ts'
import { replication } from '../../src/registry/replication.ts'
import { decodeResponse, encodeResponse } from '../../src/registry/wire-bounds.ts'
import { create, registryPb } from '../../src/wire/index.ts'
import { Node, settle, Time } from './world.ts'

const LARGE = { contentSyncAbove: 1 }

function large(time: Time, count: number, options: { readonly capabilities?: readonly string[] } = {}): Node[] {
  const nodes = Array.from({ length: count }, (_, at) => new Node(`h${at}`, time, { ...LARGE, ...options }))
  settle(nodes)
  return nodes
}

function renew(node: Node | undefined): void {
  node?.step({ type: 'refresh' })
}

test('hosts that differ only in renewals exchange those in one request, and nothing else', () => {
  const time = new Time()
  const nodes = large(time, 40)
  const [a, b] = nodes as [Node, Node]
  for (const node of nodes.slice(2, 12)) {
    renew(node)
    b.hear(node.sent.at(-1), node)
  }
  time.pass(3_000)
  const { requestBytes, responseBytes } = a.pull(b)
  assert.equal(requestBytes.length, 1)
  assert.ok((requestBytes[0] ?? 0) < 700, `${requestBytes[0]} bytes of request`)
  assert.ok((responseBytes[0] ?? 0) < 10 * 400, `${responseBytes[0]} bytes for ten renewals`)
  assert.deepEqual(stateDigest(a.state), stateDigest(b.state))
  for (const node of nodes.slice(2, 12)) {
    assert.equal(a.state.entries.get(node.peer)?.sealed.head.seq, node.state.own.seq)
    assert.equal(a.state.entries.get(node.peer)?.receivedMonotonicMs, time.monotonicMs, 'its lease begins anew')
  }
})

test('a change is listed with the owners of its group alone, however many leases were renewed', () => {
  const time = new Time()
  const nodes = large(time, 60)
  const [a, b, c] = nodes as [Node, Node, Node]
  for (const node of nodes.slice(3)) {
    renew(node)
    b.hear(node.sent.at(-1), node)
  }
  c.put('web')
  b.hear(c.sent.at(-1), c)
  const { responseBytes } = a.pull(b)
  assert.ok((responseBytes[0] ?? 0) < 57 * 400 + 10 * 62, `${responseBytes[0]} bytes of digest and 57 renewals`)
  assert.deepEqual(a.sees(c), ['web'])
  assert.deepEqual(stateDigest(a.state), stateDigest(b.state), 'and the renewals came with it')
})

test('whatever changed and was renewed, two sessions in each direction make two hosts equal', () => {
  const change = fc.record({
    owner: fc.nat(5),
    kind: fc.constantFrom('renew', 'put', 'delete', 'announce', 'audit', 'leave'),
    hears: fc.constantFrom('a', 'b', 'nobody')
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.boolean(), (changes, isOld) => {
      const time = new Time()
      const nodes = large(time, 8, isOld ? { capabilities: [] } : {})
      const [a, b, ...others] = nodes as [Node, Node, ...Node[]]
      const left = new Set<Node>()
      for (const [at, { owner, kind, hears }] of changes.entries()) {
        const node = others[owner] as Node
        if (left.has(node)) continue
        time.pass(50)
        if (kind === 'renew') renew(node)
        if (kind === 'put') node.put(`w${at % 3}`)
        if (kind === 'delete') node.delete(`w${at % 3}`)
        if (kind === 'announce') node.announce({ draining: at % 2 === 0 })
        if (kind === 'audit') node.announce({ audit: { seq: at + 1, sha256: 'ab'.repeat(32) } })
        if (kind === 'leave') {
          node.step({ type: 'leave' })
          left.add(node)
        }
        if (hears === 'a') a.hear(node.sent.at(-1), node)
        if (hears === 'b') b.hear(node.sent.at(-1), node)
      }
      for (let round = 0; round < 2; round += 1) {
        a.pull(b)
        b.pull(a)
      }
      for (const node of others) {
        if (left.has(node)) continue
        const [ofA, ofB] = [a, b].map(({ state }) => state.entries.get(node.peer)?.sealed.digest)
        assert.equal(ofA, ofB)
      }
    }),
    { numRuns: 150 }
  )
})

test('a host without the capability is asked as before', () => {
  const time = new Time()
  const a = new Node('a', time, LARGE)
  const b = new Node('b', time, { ...LARGE, capabilities: [] })
  const c = new Node('c', time, LARGE)
  settle([a, b, c])
  renew(c)
  b.hear(c.sent.at(-1), c)
  assert.equal(a.pull(b).requestBytes.length, 2, 'digest and fetch')
  assert.deepEqual(stateDigest(a.state), stateDigest(b.state))
})

test('a renewal that its owner did not sign, and more of them than are ever sent, end the session', () => {
  const time = new Time()
  const [a, b, c] = large(time, 3) as [Node, Node, Node]
  renew(c)
  b.hear(c.sent.at(-1), c)
  const tampered = (change: (renewals: registryPb.SignedHead[]) => registryPb.SignedHead[]) => (bytes: Uint8Array) => {
    const { answer } = decodeResponse(bytes, a.state.limits)
    assert.ok(answer.case === 'digest' && answer.value.renewals.length === 1)
    const renewals = change(answer.value.renewals)
    return encodeResponse({ case: 'digest', value: create(registryPb.DigestResponseSchema, { renewals }) })
  }
  const before = a.state.entries.get(c.peer)
  const forged = a.pull(
    b,
    tampered(([head]) => [create(registryPb.SignedHeadSchema, { head: head!.head, signature: new Uint8Array(64) })])
  )
  assert.equal(forged.steps.at(-1)?.fault?.code, 'SIGNATURE_INVALID')
  const flood = a.pull(
    b,
    tampered(([head]) => new Array(257).fill(head))
  )
  assert.equal(flood.steps.at(-1)?.fault?.code, 'MESSAGE_MALFORMED')
  assert.equal(a.state.entries.get(c.peer), before)
})

test('a host that has been suspected for half a minute and silent meanwhile keeps no change waiting', () => {
  const time = new Time()
  const leases = [{ maxOwners: Number.POSITIVE_INFINITY, refreshMs: 195_000, leaseMs: 590_000 }]
  const [a, b, c] = ['a', 'b', 'c'].map(machine => new Node(machine, time, { leases })) as [Node, Node, Node]
  settle([a, b, c])
  const missing = (): readonly string[] | undefined => {
    a.put(`at-${time.monotonicMs}`)
    return replication(a.state, a.state.own.seq)?.missing
  }
  assert.deepEqual(missing(), ['b', 'c'])
  time.pass(100_000)
  a.step({ type: 'suspect', peer: c.peer, suspect: true })
  assert.deepEqual(missing(), ['b', 'c'], 'it may be there and serve, however long ago its last renewal came')
  time.pass(20_000)
  const { epoch, seq } = a.state.own
  a.step({ type: 'ack', from: c.peer, bytes: encodeAck(epoch, seq) })
  time.pass(29_999)
  assert.deepEqual(missing(), ['b', 'c'], 'it has acknowledged something')
  time.pass(1)
  assert.deepEqual(missing(), ['b'])
  renew(c)
  a.hear(c.sent.at(-1), c)
  time.pass(1)
  assert.deepEqual(missing(), ['b', 'c'], 'it has spoken')
})

test('among more than 512 hosts a new line of the audit log is announced with the next renewal', () => {
  const time = new Time()
  const a = new Node('a', time)
  for (let at = 0; at < 512; at += 1) a.pull(new Node(`h${at}`, time))
  assert.equal(a.state.entries.size, 513)
  const { seq } = a.state.own
  const audit = { seq: 7, sha256: 'ab'.repeat(32) }
  assert.deepEqual(a.announce({ audit }), [])
  assert.equal(a.state.own.seq, seq)
  renew(a)
  assert.deepEqual(a.state.entries.get(a.peer)?.sealed.head.audit, audit)
  a.announce({ draining: true, audit: { ...audit, seq: 8 } })
  assert.equal(a.state.own.seq, seq + 2n, 'what others act upon is said at once')
})

test('an owner whose lease has ended is no longer among the contents, and its renewal is not handed on', () => {
  const time = new Time()
  const [a, b, c] = large(time, 3) as [Node, Node, Node]
  renew(c)
  b.hear(c.sent.at(-1), c)
  // It was renewed just before it ended: b has not looked yet, and a must not get a state that is over.
  time.pass(19_900)
  for (const node of [a, b]) renew(node)
  time.pass(200)
  const { responseBytes } = a.pull(b)
  assert.ok((responseBytes[0] ?? 0) < 1_000, `${responseBytes[0]} bytes for one renewal`)
  assert.notEqual(a.state.entries.get(c.peer)?.sealed.head.seq, c.state.own.seq)
  const withIt = a.state.contents.hashes()
  a.step({ type: 'tick' })
  assert.equal(a.state.entries.has(c.peer), false)
  assert.equal(a.state.contents.hashes().equals(withIt), false)
  assert.deepEqual(
    a.state.contents
      .ordered()
      .flat()
      .map(({ owner }) => owner)
      .sort(),
    [a.peer, b.peer].sort()
  )
})

test('a renewal counts as newer up to half a cycle of its byte', () => {
  const time = new Time()
  const [a, b, c] = large(time, 3) as [Node, Node, Node]
  for (const [renewals, arrives] of [
    [127, true],
    [128, false]
  ] as const) {
    for (let count = 0; count < renewals; count += 1) renew(c)
    b.hear(c.sent.at(-1), c)
    a.pull(b)
    assert.equal(a.state.entries.get(c.peer)?.sealed.head.seq === c.state.own.seq, arrives, `${renewals}`)
  }
})
