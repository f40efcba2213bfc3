import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_LIMITS } from '../../src/registry/limits.ts'
import { sealRecord } from '../../src/registry/record.ts'
import { RecordSet } from '../../src/registry/record-set.ts'
import { recordOf, sha256, TD } from './world.ts'

const SCOPE = { trustDomain: TD, machine: 'a' }
const seal = (name: string, version = '1') =>
  sealRecord(recordOf('a', name, { labels: { version } }), SCOPE, DEFAULT_LIMITS)

const edit = fc.record({
  name: fc.integer({ min: 0, max: 40 }),
  version: fc.integer({ min: 0, max: 3 }),
  keep: fc.boolean()
})

test('a set changed step by step has the root of the same set made at once, in any order', () => {
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 60 }), edits => {
      let set = RecordSet.empty
      const model = new Map<number, number>()
      for (const { name, version, keep } of edits) {
        const record = seal(`n${name}`, String(version))
        set = keep ? set.with([record], []) : set.with([], [record.id])
        if (keep) model.set(name, version)
        else model.delete(name)
      }
      const wanted = [...model].map(([name, version]) => seal(`n${name}`, String(version))).reverse()
      const fresh = RecordSet.empty.with(wanted, [])
      assert.equal(set.root, fresh.root)
      assert.equal(set.count, model.size)
      assert.equal(set.bytes, fresh.bytes)
      assert.deepEqual(set.difference(fresh), { added: [], removed: [] })
    }),
    { numRuns: 50 }
  )
})

test('the root is that of the protocol document, computed here by hand', () => {
  const all = ['x', 'y', 'z'].map(name => seal(name))
  const buckets = Array.from({ length: 256 }, (_, number) =>
    sha256(
      ...all
        .filter(({ id }) => sha256(Buffer.from(id, 'hex'))[0] === number)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .map(({ bytes }) => sha256(bytes))
    )
  )
  assert.equal(RecordSet.empty.with(all, []).root, sha256(...buckets).toString('hex'))
})

test('any change of content changes the root, and the difference names exactly what changed', () => {
  const before = RecordSet.empty.with([seal('x'), seal('y'), seal('z')], [])
  const after = before.with([seal('x', '2'), seal('w')], [seal('z').id])
  assert.notEqual(before.root, after.root)
  const { added, removed } = before.difference(after)
  const names = (list: typeof added) =>
    list.map(({ value }) => `${value.address.appIdentity}${value.labels['version']}`).sort()
  assert.deepEqual(names(added), ['w1', 'x2'])
  assert.deepEqual(names(removed), ['x1', 'z1'])
  assert.equal(before.get(seal('x').id)?.value.labels['version'], '1', 'the set before is untouched')
})

test('a record is found by its id among many, and a missing one is not', () => {
  const all = Array.from({ length: 1_000 }, (_, at) => seal(`n${at}`))
  const set = RecordSet.empty.with(all, [])
  for (const record of all) assert.equal(set.get(record.id)?.sha256, record.sha256)
  assert.equal(set.get(seal('missing').id), undefined)
  assert.equal([...set].length, 1_000)
})
