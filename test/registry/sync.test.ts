import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../src/core/index.ts'
import {
  answer,
  lookup,
  owner,
  owners,
  quarantined,
  records,
  SyncSession,
  stateDigest
} from '../../src/registry/index.ts'
import { create, fromBytes, registryPb, toBinary } from './wire.ts'
import { chainOf, mesh, Node, Time, verdictOf } from './world.ts'

const MAX_RESPONSE = 1_048_576

test('between equal states of 1,000 owners an exchange costs half a kilobyte, and a byte for each', t => {
  const time = new Time()
  const [a, b] = [new Node('a', time), new Node('b', time)]
  const others = Array.from({ length: 998 }, (_, at) => new Node(`m${at}`, time))
  for (const other of others) a.pull(other)
  b.pull(a)
  a.pull(b)
  assert.equal(owners(a.state).length, 1_000)
  assert.deepEqual(stateDigest(a.state), stateDigest(b.state))
  const { requestBytes, responseBytes } = a.pull(b)
  assert.equal(requestBytes.length, 1)
  const equal = requestBytes[0]! + responseBytes[0]!
  t.diagnostic(`equal states: ${equal} bytes`)
  assert.ok(equal < 1_800, `${equal} bytes`)
  time.pass(1_000)
  for (const other of others.slice(0, 10)) {
    other.step({ type: 'refresh' })
    b.pull(other)
  }
  const newer = a.pull(b)
  t.diagnostic(`ten newer heads: ${[...newer.requestBytes, ...newer.responseBytes].join(' + ')} bytes`)
  assert.deepEqual(stateDigest(a.state), stateDigest(b.state))
})

test('a fresh host learns everything from one peer', () => {
  const time = new Time()
  const hub = new Node('hub', time)
  const others = Array.from({ length: 80 }, (_, at) => new Node(`m${at}`, time))
  for (const other of others) {
    other.put('web', 'api')
    hub.pull(other)
  }
  const fresh = new Node('fresh', time)
  const { responseBytes, steps } = fresh.pull(hub)
  assert.equal(owners(fresh.state).length, 82)
  for (const other of others) assert.deepEqual(fresh.sees(other), ['api', 'web'])
  assert.ok(responseBytes.every(bytes => bytes <= MAX_RESPONSE))
  assert.ok(steps.every(({ fault }) => fault === undefined))
})

test('what only the requester has is not taken over by the asked', () => {
  const time = new Time()
  const [a, b] = [new Node('a', time), new Node('b', time)]
  a.pull(b)
  assert.equal(owners(a.state).length, 2)
  assert.equal(owners(b.state).length, 1)
})

test('a missed refresh costs a head, not the set nor the certificates', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put(...Array.from({ length: 200 }, (_, at) => `n${at}`))
  a.pull(b)
  time.pass(5_000)
  b.step({ type: 'tick' })
  const { responseBytes } = a.pull(b)
  assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
  assert.ok(Math.max(...responseBytes) < 1_000, `${responseBytes}`)
})

/** Limits under which a few hundred records are a large set, so that what is tested is not how long it takes. */
const SMALL = { maxResponseBytes: 140_000, maxInlineBytes: 8_000, maxBucketBytes: 70_000 }

function small(): [Node, Node] {
  const time = new Time()
  const [a, b] = [new Node('a', time, { limits: SMALL }), new Node('b', time, { limits: SMALL })]
  a.pull(b)
  return [a, b]
}

test('a large set comes by buckets, and afterwards only the buckets that changed', () => {
  const [a, b] = small()
  b.put(...Array.from({ length: 1_200 }, (_, at) => `n${at}`))
  const whole = a.pull(b)
  assert.equal(records(a.state, b.peer).length, 1_200)
  assert.ok(whole.responseBytes.length > 3 && whole.responseBytes.every(bytes => bytes <= SMALL.maxResponseBytes))
  b.put('one-more')
  const change = a.pull(b)
  assert.equal(records(a.state, b.peer).length, 1_201)
  assert.ok(change.responseBytes.reduce((sum, bytes) => sum + bytes) < 15_000)
})

test('a record whose bucket was fetched again is no longer found once it is deleted', () => {
  // Found by the simulator: the index of names held the record as it was before the bucket was fetched again.
  const [a, b] = small()
  const names = Array.from({ length: 1_200 }, (_, at) => `n${at}`)
  b.put(...names)
  a.pull(b)
  b.put('one-more', 'and-another', 'and-a-third')
  a.pull(b)
  b.delete(...names)
  a.pull(b)
  const found = names.filter(
    appIdentity => lookup(a.state, { scope: 'dev', appGroup: 'web', appIdentity, resourceGroup: 'default' }).length > 0
  )
  assert.deepEqual(found, [])
  assert.equal(records(a.state, b.peer).length, 3)
})

test('a large set that keeps changing while it is fetched still arrives, without starting over', () => {
  const [a, b] = small()
  b.put(...Array.from({ length: 1_200 }, (_, at) => `n${at}`))
  let changes = 0
  const { steps, responseBytes } = a.pull(b, response => {
    changes += 1
    if (changes <= 6) b.put(`extra${changes}`)
    return response
  })
  assert.ok(steps.every(({ fault }) => fault === undefined))
  assert.equal(records(a.state, b.peer).length, 1_206)
  assert.equal(owner(a.state, b.peer)?.seq, b.state.own.seq)
  assert.ok(responseBytes.reduce((sum, bytes) => sum + bytes) < 1.5 * b.state.own.set.bytes)
})

test('a peer that leaves out, alters or adds a record is found out, and nothing of it is kept', () => {
  const time = new Time()
  const alter: Array<(list: Uint8Array[]) => Uint8Array[]> = [
    list => list.slice(1),
    list => [...list, list[0]!.map((byte, at) => (at === 5 ? byte ^ 1 : byte))],
    list =>
      list.map((bytes, at) => (at === 0 ? bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)) : bytes)),
    () => [],
    list => [...list, Buffer.from('garbage')]
  ]
  for (const change of alter) {
    const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
    c.put('web', 'api')
    b.pull(c)
    const { steps } = a.pull(b, response => {
      const message = fromBytes(response)
      if (message.answer.case === 'fetch') {
        for (const { set } of message.answer.value.states)
          if (set.case === 'records') set.value.records = change(set.value.records)
      }
      return toBinary(registryPb.SyncResponseSchema, message)
    })
    assert.ok(steps.at(-1)?.fault !== undefined)
    assert.deepEqual(a.sees(c), [])
    assert.deepEqual(quarantined(a.state), [], 'the owner is not blamed for what the peer did')
    a.pull(c)
    assert.deepEqual(a.sees(c), ['api', 'web'])
  }
})

test('a peer that answers with other owners, another question, or a refusal ends the session', () => {
  const time = new Time()
  const answers: Array<registryPb.SyncResponse['answer']> = [
    { case: 'buckets', value: create(registryPb.BucketsResponseSchema) },
    { case: 'refused', value: create(registryPb.SyncRefusedSchema, { code: 'X', reason: 'y' }) },
    { case: undefined },
    { case: 'fetch', value: create(registryPb.FetchResponseSchema) }
  ]
  for (const value of answers) {
    const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
    const session = new SyncSession(a.state, b.peer)
    session.first()
    const { request, fault } = session.next(
      toBinary(registryPb.SyncResponseSchema, create(registryPb.SyncResponseSchema, { answer: value })),
      time
    )
    assert.equal(request, undefined)
    assert.ok(fault !== undefined)
    assert.ok(session.next(new Uint8Array(), time).fault !== undefined, 'it stays ended')
  }
})

test('a peer that answers with a state twice, in another order or unasked ends the session', () => {
  const bend: Array<(states: registryPb.OwnerState[]) => registryPb.OwnerState[]> = [
    states => [...states, ...states.slice(-1)],
    states => states.toReversed(),
    states => [states[0]!, states[0]!]
  ]
  for (const change of bend) {
    const time = new Time()
    const [b, c] = mesh(time, 'b', 'c') as [Node, Node]
    const a = new Node('a', time)
    const { steps } = a.pull(b, response => {
      const message = fromBytes(response)
      const { answer } = message
      if (answer.case === 'fetch') {
        assert.equal(answer.value.states.length, 2)
        answer.value.states = change(answer.value.states)
      }
      return toBinary(registryPb.SyncResponseSchema, message)
    })
    assert.match(steps.at(-1)?.fault?.reason ?? '', /not those asked for/)
    a.pull(c)
    assert.equal(owners(a.state).length, 3)
  }
})

test('a response larger than one may be is refused before it is read', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const session = new SyncSession(a.state, b.peer)
  session.first()
  assert.equal(session.next(new Uint8Array(MAX_RESPONSE + 1), time).fault?.code, ErrorCode.MessageTooLarge)
  const crumbs = new Uint8Array(MAX_RESPONSE)
  for (let at = 0; at < crumbs.length; at += 2) crumbs[at] = 0x0a
  assert.equal(new SyncSession(a.state, b.peer).next(crumbs, time).fault?.code, ErrorCode.MessageTooLarge)
})

test('a request that cannot be read is answered with a refusal', () => {
  const [a] = mesh(new Time(), 'a') as [Node]
  const ask = (request: registryPb.SyncRequest['ask']) =>
    toBinary(registryPb.SyncRequestSchema, create(registryPb.SyncRequestSchema, { ask: request }))
  const wants = (count: number, bytes: number) =>
    Array.from({ length: count }, () => create(registryPb.WantSchema, { owner: new Uint8Array(bytes) }))
  const requests = [
    new Uint8Array(),
    Buffer.from('nonsense'),
    new Uint8Array(300_000),
    ask({ case: 'digest', value: create(registryPb.DigestRequestSchema, { groupHashes: new Uint8Array(511) }) }),
    ask({ case: 'fetch', value: create(registryPb.FetchRequestSchema, { wants: wants(1, 31) }) }),
    ask({ case: 'fetch', value: create(registryPb.FetchRequestSchema, { wants: wants(129, 32) }) }),
    ask({
      case: 'buckets',
      value: create(registryPb.BucketsRequestSchema, { owner: new Uint8Array(32), buckets: new Array(257).fill(0) })
    }),
    ask({
      case: 'buckets',
      value: create(registryPb.BucketsRequestSchema, {
        owner: a.key,
        epoch: a.state.own.epoch,
        recordSeq: a.state.own.recordSeq,
        buckets: [256]
      })
    })
  ]
  for (const request of requests) assert.equal(fromBytes(answer(a.state, request, new Time())).answer.case, 'refused')
})

test('owners that do not fit one response come with the next', () => {
  const time = new Time()
  const hub = new Node('hub', time, { limits: SMALL })
  const others = Array.from({ length: 30 }, (_, at) => new Node(`m${at}`, time))
  for (const other of others) {
    other.put(...Array.from({ length: 50 }, (_, at) => `n${at}`))
    hub.pull(other)
  }
  const fresh = new Node('fresh', time)
  const { responseBytes } = fresh.pull(hub)
  assert.ok(
    responseBytes.length >= 4 && responseBytes.every(bytes => bytes <= SMALL.maxResponseBytes),
    `${responseBytes}`
  )
  for (const other of others) assert.equal(records(fresh.state, other.peer).length, 50)
})

test('equivocation that two partitions saw one half of each comes out when they meet', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const twins = [new Node('x', time), new Node('x', time)] as [Node, Node]
  twins[0].put('one')
  twins[1].put('two')
  a.pull(twins[0])
  b.pull(twins[1])
  assert.deepEqual(a.sees(twins[0]), ['one'])
  assert.notDeepEqual(stateDigest(a.state), stateDigest(b.state), 'equal digests mean equal state')
  a.pull(b)
  assert.deepEqual(
    quarantined(a.state).map(({ peer }) => peer),
    [twins[0].peer]
  )
})

test('a renewed certificate is fetched once its owner announces it, and the owner stays live meanwhile', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.put('web')
  a.pull(b)
  const renewed = { ...b.identity, notAfterMs: b.identity.notAfterMs + 1_000 }
  b.announce({ nodeChain: chainOf(renewed, 1) })
  const effects = a.hear(b.sent.at(-1), b)
  assert.equal(verdictOf(effects), 'accept-later')
  assert.equal(effects.filter(effect => effect.type === 'sync-with').length, 1)
  assert.deepEqual(a.sees(b), ['web'])
  a.pull(b)
  assert.equal(owner(a.state, b.peer)?.identity.notAfterMs, renewed.notAfterMs)
  assert.deepEqual(a.pull(b).requestBytes.length, 1, 'and not again')
})

test('each renewal of a certificate is asked for at once, and its owner before who handed the head on', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  a.pull(b)
  for (const byte of [1, 2, 3]) {
    const renewed = { ...b.identity, notAfterMs: b.identity.notAfterMs + byte * 1_000 }
    b.announce({ nodeChain: chainOf(renewed, byte) })
    const asked = a.hear(b.sent.at(-1), c).filter(effect => effect.type === 'sync-with')
    const { peer, owner: of, prefersOwner } = asked[0] ?? {}
    assert.deepEqual([asked.length, peer, of, prefersOwner], [1, c.peer, b.peer, true])
    b.announce({ draining: byte % 2 === 1 })
    const again = a.hear(b.sent.at(-1), b)
    assert.ok(
      again.every(({ type }) => type !== 'sync-with'),
      'and not again with each head'
    )
    a.pull(b)
    assert.equal(owner(a.state, b.peer)?.identity.notAfterMs, renewed.notAfterMs)
  }
})

test('a certificate that does not exist is asked for a few times only', () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  b.announce({ nodeChain: chainOf(b.identity, 7) })
  a.hear(b.sent.at(-1), b)
  const strip = (response: Uint8Array) => {
    const message = fromBytes(response)
    if (message.answer.case === 'fetch') for (const state of message.answer.value.states) state.nodeChain = []
    return toBinary(registryPb.SyncResponseSchema, message)
  }
  const asked = Array.from({ length: 20 }, () => a.pull(b, strip).requestBytes.length)
  assert.ok(asked.filter(count => count > 1).length <= 8)
  assert.equal(asked.at(-1), 1)
})
