import assert from 'node:assert/strict'
import test from 'node:test'
import { AUDITED_EVENTS, FIELD_READERS, meshReaderOf, readableFields } from '../../src/events/index.ts'

const PRIVATE = ['uid', 'pid', 'executable', 'sourceProcess', 'destinationProcess']

test('no field that names a process or a user leaves its host, whatever the role', () => {
  for (const [name, readers] of Object.entries(FIELD_READERS))
    for (const field of PRIVATE) {
      assert.ok([undefined, 'host'].includes((readers as Record<string, string>)[field]), `${name} ${field}`)
      for (const role of ['owner', 'observer'] as const)
        assert.equal(readableFields(name, { [field]: 1 }, role)?.[field], undefined)
    }
})

test('an observer gets no event that is for the admin of its host, and an owner gets it without the user', () => {
  const fields = { change: 'allow', subject: 'a -> b', uid: 0 }
  assert.equal(readableFields('rule-changed', fields, 'observer'), undefined)
  assert.deepEqual(readableFields('rule-changed', fields, 'owner'), { change: 'allow', subject: 'a -> b' })
  const forOwners = AUDITED_EVENTS.filter(name => meshReaderOf(name) === 'owner')
  for (const name of ['question-asked', 'token-created', 'host-admitted', 'join-refused'] as const)
    assert.ok(forOwners.includes(name), name)
})

test('a field for owners is in no event that observers get, unless it is said so', () => {
  const refused = {
    source: 'dev.a.b.c.d',
    code: 'UNAUTHORIZED',
    reason: 'uid 7 has 127.0.0.1:80',
    sourceProcess: { uid: 7 }
  }
  assert.deepEqual(readableFields('flow-refused', refused, 'observer'), { source: 'dev.a.b.c.d', code: 'UNAUTHORIZED' })
  assert.deepEqual(Object.keys(readableFields('flow-refused', refused, 'owner') ?? {}), ['source', 'code', 'reason'])
})

test('a record or a field that is not in the table is for nobody', () => {
  assert.equal(readableFields('of-a-later-program', { source: 'a' }, 'owner'), undefined)
  assert.equal(readableFields('toString', { source: 'a' }, 'owner'), undefined)
  assert.deepEqual(readableFields('evicted', { reason: 'r', later: 1, constructor: 2 }, 'owner'), { reason: 'r' })
  assert.deepEqual(readableFields('audit-gap', { lost: 3, reason: 'disk' }, 'observer'), { lost: 3, reason: 'disk' })
})
