import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WarrenError } from '../../src/core/index.ts'
import { openHead } from '../../src/registry/head.ts'
import { answer, decodeAck, encodeAck, SyncSession, stateDigest } from '../../src/registry/index.ts'
import { DEFAULT_LIMITS } from '../../src/registry/limits.ts'
import { openRecord, sealRecord } from '../../src/registry/record.ts'
import { boundFields } from '../../src/registry/scan.ts'
import { decode } from '../../src/wire/index.ts'
import { create, fromBytes, registryPb, toBinary } from './wire.ts'
import { mesh, type Node, recordOf, TD, Time, verdictOf } from './world.ts'

const SCOPE = { trustDomain: TD, machine: 'a' }

/** `bytes` with some replaced, cut out or put in. */
function bend(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.nat({ max: Math.max(0, bytes.length - 1) }),
    cut: fc.integer({ min: 0, max: 4 }),
    insert: fc.uint8Array({ maxLength: 4 })
  })
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map(edits => {
    let bent = Buffer.from(bytes)
    for (const { at, cut, insert } of edits)
      bent = Buffer.concat([bent.subarray(0, at), insert, bent.subarray(at + cut)])
    return new Uint8Array(bent)
  })
}

function onlyTyped(run: () => unknown): void {
  try {
    run()
  } catch (err) {
    assert.ok(err instanceof WarrenError, String(err))
  }
}

test('a record says after its journey exactly what it said before', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/)
  const record = fc.record({
    name,
    protocols: fc.uniqueArray(fc.constantFrom('tcp' as const, 'udp' as const)),
    health: fc.constantFrom('passing' as const, 'failing' as const, 'draining' as const),
    labels: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ maxLength: 20 }), { maxKeys: 8 }),
    registeredAtMs: fc.integer({ min: 0, max: 2 ** 48 }),
    ttlMs: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    ports: fc.array(fc.integer({ min: 1, max: 65_535 }), { maxLength: 16 }),
    weight: fc.integer({ min: 0, max: 1_000 })
  })
  fc.assert(
    fc.property(record, ({ name: word, ...more }) => {
      const sealed = sealRecord(recordOf('a', word, more), SCOPE, DEFAULT_LIMITS)
      const { value, sha256 } = openRecord(sealed.bytes, SCOPE, DEFAULT_LIMITS)
      assert.deepEqual(
        { ...value, spiffeId: '' },
        { ...recordOf('a', word, more), labels: { ...more.labels }, spiffeId: '' }
      )
      assert.equal(sha256, sealed.sha256)
    }),
    { numRuns: 100 }
  )
})

test('a weight that no agent announces counts as the greatest', () => {
  const { bytes } = sealRecord(recordOf('a', 'web'), SCOPE, DEFAULT_LIMITS)
  const withWeight = (weight: number): number => {
    const message = decode(registryPb.RecordSchema, bytes, bytes.length)
    message.weight = weight
    return openRecord(toBinary(registryPb.RecordSchema, message), SCOPE, DEFAULT_LIMITS).value.weight
  }
  assert.deepEqual([0, 1, 1_000, 1_001, 2 ** 32 - 1].map(withWeight), [0, 1, 1_000, 1_000, 1_000])
  assert.equal(openRecord(bytes, SCOPE, DEFAULT_LIMITS).value.weight, 100, 'a record of an older agent states none')
})

test('a bent record is refused with a typed error or is a valid record of its machine', () => {
  const { bytes } = sealRecord(recordOf('a', 'web'), SCOPE, DEFAULT_LIMITS)
  fc.assert(
    fc.property(bend(bytes), bent => {
      onlyTyped(() => assert.equal(openRecord(bent, SCOPE, DEFAULT_LIMITS).value.address.machine, 'a'))
    }),
    { numRuns: 300 }
  )
})

test('a message of gossip with any byte changed brings what its owner signed, or nothing, and nothing is thrown', () => {
  const runs = bend(
    mesh(new Time(), 'a', 'b')[1]!
      .put('web')
      .flatMap(effect => (effect.type === 'publish' ? [effect.bytes] : []))[0]!
  )
  fc.assert(
    fc.property(runs, bent => {
      // The same two hosts at the same time each run, so that the bent bytes are a message of this very b.
      const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
      const before = stateDigest(a.state)
      b.put('web')
      const effects = a.hear(bent, b)
      // Bytes that a decoder skips may have been added: then it still is what the owner signed.
      if (a.sees(b).length > 0) assert.deepEqual([verdictOf(effects), ...a.sees(b)], ['accept-later', 'web'])
      else assert.deepEqual(stateDigest(a.state), before)
      onlyTyped(() =>
        openHead(create(registryPb.SignedHeadSchema, { head: bent, signature: new Uint8Array(64) }), TD, DEFAULT_LIMITS)
      )
    }),
    { numRuns: 120 }
  )
})

test('a bent request is answered, within the bound', () => {
  const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  b.put('web')
  const requests: Uint8Array[] = []
  const session = new SyncSession(a.state, b.peer)
  for (let request: Uint8Array | undefined = session.first(); request !== undefined; ) {
    requests.push(request)
    request = session.next(answer(b.state, request, new Time()), new Time()).request
  }
  fc.assert(
    fc.property(fc.constantFrom(...requests).chain(bend), bent => {
      const response = answer(b.state, bent, new Time())
      assert.ok(response.length <= DEFAULT_LIMITS.maxResponseBytes)
      assert.notEqual(fromBytes(response).answer.case, undefined)
    }),
    { numRuns: 300 }
  )
})

test('a bent response brings what its owner signed, or nothing', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), dice => {
      const [a, b, c] = mesh(new Time(), 'a', 'b', 'c') as [Node, Node, Node]
      c.put('web')
      b.pull(c)
      a.pull(b, response => {
        const bent = Buffer.from(response)
        const at = dice.next().value % bent.length
        bent[at] = dice.next().value & 0xff
        return bent
      })
      assert.ok(['', 'web'].includes(a.sees(c).join()))
      a.pull(b)
      assert.deepEqual(a.sees(c), ['web'], 'an honest exchange afterwards makes it good')
    }),
    { numRuns: 40 }
  )
})

test('an acknowledgement survives its journey, and anything else is a typed error', () => {
  const counter = fc.bigInt({ min: 0n, max: 2n ** 62n })
  fc.assert(
    fc.property(counter, counter, (epoch, seq) => {
      const { epoch: e, seq: s } = decodeAck(encodeAck(epoch, seq))
      assert.deepEqual([e, s], [epoch, seq])
    })
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), bytes => onlyTyped(() => decodeAck(bytes))))
})

test('counting fields before decoding ends for any bytes, and refuses more than allowed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes =>
      onlyTyped(() => boundFields(bytes, { 1: { 1: {} }, 2: {} }, 50))
    )
  )
  assert.throws(() => boundFields(new Uint8Array(102).fill(0x10), {}, 50), WarrenError)
  assert.doesNotThrow(() => boundFields(new Uint8Array(100).fill(0x10), {}, 50))
})
