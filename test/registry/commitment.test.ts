import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Assembly } from '../../src/registry/assembly.ts'
import { type Head, openHead, sealHead, toWire } from '../../src/registry/head.ts'
import { MAX_LEASE_MS, MIN_LEASE_MS } from '../../src/registry/lease.ts'
import { DEFAULT_LIMITS, type Limits, MAX_COUNTER } from '../../src/registry/limits.ts'
import { openRecord, type StoredRecord, sealRecord } from '../../src/registry/record.ts'
import { BUCKETS, bucketNumber, bucketOf, RecordSet, rootOf } from '../../src/registry/record-set.ts'
import { validate } from '../../src/registry/validate.ts'
import { create, decode, registryPb, toBinary } from '../../src/wire/index.ts'
import { chainOf, fakeSign, Node, recordOf, TD, Time } from './world.ts'

const node = new Node('b', new Time())
const entry = node.state.entries.get(node.peer)!
const SCOPE = { trustDomain: TD, machine: 'b' }

function sealed(change: Partial<Head>) {
  return sealHead({ ...entry.sealed.head, ...change }, TD, bytes => fakeSign(node.key, bytes))
}

function stored(name: string): StoredRecord {
  return sealRecord(recordOf('b', name), SCOPE, DEFAULT_LIMITS)
}

/** Buckets as an owner has signed them, on their way in. */
function assemblyOf(buckets: ReadonlyMap<number, readonly StoredRecord[]>, limits: Limits = DEFAULT_LIMITS): Assembly {
  const hashes = Buffer.concat(
    Array.from({ length: BUCKETS }, (_, number) => bucketOf(buckets.get(number) ?? []).sha256)
  )
  const candidate = {
    sealed: sealed({ root: rootOf(hashes) }),
    identity: entry.identity,
    chain: chainOf(entry.identity),
    from: node.peer
  }
  return new Assembly(candidate, RecordSet.empty, hashes, TD, limits)
}

const onWire = (number: number, ...records: readonly StoredRecord[]) =>
  create(registryPb.BucketSchema, { number, records: records.map(({ bytes }) => bytes) })

test('a record in another bucket than its own is refused, though its owner has signed it there', () => {
  const record = stored('web')
  const own = bucketNumber(record.id)
  const fine = assemblyOf(new Map([[own, [record]]]))
  fine.take([onWire(own, record)])
  assert.ok(fine.isComplete())
  assert.equal(fine.set().get(record.id)?.sha256, record.sha256)
  const wrong = (own + 1) % BUCKETS
  const assembly = assemblyOf(new Map([[wrong, [record]]]))
  assert.throws(() => assembly.take([onWire(wrong, record)]), /wrong bucket/)
})

test('a set that comes by buckets may be so large in all, however small each of them is', () => {
  const records = [stored('web'), stored('api')].sort((one, other) => bucketNumber(one.id) - bucketNumber(other.id))
  const [one, other] = records as [StoredRecord, StoredRecord]
  assert.notEqual(bucketNumber(one.id), bucketNumber(other.id))
  const bytes = one.bytes.length + other.bytes.length
  const take = (maxSetBytes: number): void => {
    const buckets = new Map(records.map(record => [bucketNumber(record.id), [record]]))
    const assembly = assemblyOf(buckets, { ...DEFAULT_LIMITS, maxSetBytes })
    for (const record of records) assembly.take([onWire(bucketNumber(record.id), record)])
    assert.equal(assembly.set().bytes, bytes)
  }
  take(bytes)
  assert.throws(() => take(bytes - 1), /too large/)
})

test('a set fits a head that counts its records, and neither one more nor one less', () => {
  const set = RecordSet.empty.with([stored('web'), stored('api')], [])
  const fit = (count: number) =>
    validate({ ...entry.sealed.head, root: set.root, count }, set, undefined, DEFAULT_LIMITS).is
  assert.deepEqual([fit(1), fit(2), fit(3)], ['invalid', 'fits', 'invalid'])
})

test('a head with a counter or a lease out of range is not read', () => {
  const open = (change: Partial<Head>) => openHead(toWire(sealed(change)), TD, DEFAULT_LIMITS)
  for (const good of [
    { epoch: MAX_COUNTER, seq: MAX_COUNTER },
    { seq: 5n, recordSeq: 5n },
    { leaseMs: MIN_LEASE_MS },
    { leaseMs: MAX_LEASE_MS }
  ]) {
    open(good)
  }
  for (const bad of [
    { epoch: MAX_COUNTER + 1n },
    { seq: MAX_COUNTER + 1n },
    { seq: 5n, recordSeq: 6n },
    { leaseMs: MIN_LEASE_MS - 1 },
    { leaseMs: MAX_LEASE_MS + 1 }
  ]) {
    assert.throws(
      () => open(bad),
      { code: 'MESSAGE_MALFORMED' },
      JSON.stringify(bad, (_, value) => String(value))
    )
  }
})

test('a workload of a health that is not known here is not taken for one that can be used', () => {
  const read = (health: number) => {
    const message = decode(registryPb.RecordSchema, stored('web').bytes, DEFAULT_LIMITS.maxRecordBytes)
    message.health = health
    return openRecord(toBinary(registryPb.RecordSchema, message), SCOPE, DEFAULT_LIMITS).value.health
  }
  const { PASSING, FAILING, DRAINING, UNSPECIFIED } = registryPb.Health
  assert.deepEqual([PASSING, FAILING, DRAINING].map(read), ['passing', 'failing', 'draining'])
  assert.deepEqual([UNSPECIFIED, 9].map(read), ['failing', 'failing'])
})
