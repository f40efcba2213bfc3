import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sealHead, toWire } from '../../src/registry/head.ts'
import type { Effect } from '../../src/registry/index.ts'
import { create, registryPb, toBinary } from '../../src/wire/index.ts'
import { fakeSign, mesh, type Node, TD, Time } from './world.ts'

const acksOf = (effects: readonly Effect[]) => effects.flatMap(effect => (effect.type === 'send-ack' ? [effect] : []))

test('a change that nobody waits for is not acknowledged, and is as soon as somebody does', () => {
  const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  a.put('web')
  assert.deepEqual(acksOf(b.hear(a.sent.at(-1), a)), [])
  const { length } = a.sent
  a.step({ type: 'await-acks', phase: 'ask' })
  assert.equal(a.sent.length, length + 1)
  const [ack] = acksOf(b.hear(a.sent.at(-1), a))
  assert.deepEqual(ack?.wanted, { via: a.peer, again: false })
  a.step({ type: 'ack', from: b.peer, bytes: ack!.bytes })
  assert.deepEqual(a.step({ type: 'await-acks', phase: 'ask' }), [], 'it has been acknowledged')
  a.step({ type: 'await-acks', phase: 'end' })
  a.put('api')
  assert.deepEqual(acksOf(b.hear(a.sent.at(-1), a)), [])
})

test('a host that has the change from another than its owner acknowledges it by way of that one', () => {
  const [a, b, c] = mesh(new Time(), 'a', 'b', 'c') as [Node, Node, Node]
  a.step({ type: 'await-acks', phase: 'begin' })
  a.put('web')
  assert.deepEqual(
    acksOf(b.hear(a.sent.at(-1), c)).map(({ to, wanted }) => [to, wanted?.via]),
    [[a.peer, c.peer]]
  )
  const pulled = c.pull(a).steps.flatMap(({ effects }) => acksOf(effects))
  assert.deepEqual(
    pulled.map(({ wanted }) => wanted?.via),
    [a.peer]
  )
})

test('an owner asks again for what is missing while somebody waits, but not for the sake of a suspect', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  a.step({ type: 'await-acks', phase: 'begin' })
  a.put('web')
  for (const { bytes } of acksOf(b.hear(a.sent.at(-1), a))) a.step({ type: 'ack', from: b.peer, bytes })
  c.hear(a.sent.at(-1), a)
  const asked = (): Uint8Array | undefined => {
    const { length } = a.sent
    a.step({ type: 'tick' })
    return a.sent[length]
  }
  time.pass(1_000)
  assert.equal(asked(), undefined)
  time.pass(1_000)
  const [again] = acksOf(c.hear(asked(), a))
  assert.deepEqual(again?.wanted, { via: a.peer, again: true })
  a.step({ type: 'suspect', peer: c.peer, suspect: true })
  time.pass(2_000)
  assert.equal(asked(), undefined)
  a.step({ type: 'suspect', peer: c.peer, suspect: false })
  time.pass(3_000)
  assert.deepEqual(acksOf(c.hear(asked(), a)), [], 'the lease is renewed, and the caller waits no longer')
})

test('an older program says nothing about acknowledgements, and still gets one for each changed set', () => {
  const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  b.put('web')
  const { sealed, set } = b.state.entries.get(b.peer)!
  const old = sealHead({ ...sealed.head, acks: 'direct' }, TD, bytes => fakeSign(b.key, bytes))
  const { ownerKey: owner, epoch, recordSeq: toSeq } = old.head
  const puts = [...set].map(({ bytes }) => bytes)
  const value = create(registryPb.DeltaSchema, { owner, epoch, fromSeq: 0n, toSeq, puts, head: toWire(old) })
  const event = { case: 'delta', value } as const
  const message = toBinary(registryPb.GossipSchema, create(registryPb.GossipSchema, { event }))
  const acks = acksOf(a.hear(message, b))
  assert.deepEqual(
    acks.map(({ to, wanted }) => [to, wanted]),
    [[b.peer, undefined]]
  )
})
