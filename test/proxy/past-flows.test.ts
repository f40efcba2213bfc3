import assert from 'node:assert/strict'
import test from 'node:test'
import { HOST_VIEW, type LocalUser, unknownView } from '../../src/attest/index.ts'
import { MAX_PAST, MAX_PAST_PER_USER, PastFlows } from '../../src/proxy/flow/past-flows.ts'

const user = (uid: number, view = HOST_VIEW): LocalUser => ({ uid, view })
const CUT = { state: 'cut', kind: 'policy', reason: 'no longer allowed' } as const
const id = (number: number): string => number.toString(16).padStart(16, '0')

test('how a connection ended is told to the user of its end, and to no other, not even of the same uid in a container', () => {
  const past = new PastFlows()
  past.add(user(1000), id(1), CUT)
  assert.deepEqual(past.of(user(1000), id(1)), CUT)
  assert.equal(past.of(user(1001), id(1)), undefined)
  assert.equal(past.of(user(1000, { ...unknownView('is in a container'), key: '2 1:2' }), id(1)), undefined)
  assert.equal(past.of(user(1000), id(2)), undefined)
})

test('two containers of one uid, at the two ends of one connection, both get its end', () => {
  const past = new PastFlows()
  const [one, other] = ['2 1:2', '2 3:4'].map(key => user(0, { ...unknownView('is in a container'), key }))
  assert.ok(one !== undefined && other !== undefined)
  past.add(one, id(1), CUT)
  past.add(other, id(1), { state: 'ended' })
  assert.deepEqual([past.of(one, id(1)), past.of(other, id(1))], [CUT, { state: 'ended' }])
  assert.equal(past.of(user(0), id(1)), undefined)
})

test('a connection that was cut stays so when another host gives its name to one that ends in order', () => {
  const past = new PastFlows()
  past.add(user(1000), id(1), CUT)
  past.add(user(1000), id(1), { state: 'ended' })
  assert.deepEqual(past.of(user(1000), id(1)), CUT)
})

test('a user with very many connections has the oldest forgotten, and not those of others', () => {
  const past = new PastFlows()
  past.add(user(1), id(0), CUT)
  for (let number = 0; number <= MAX_PAST_PER_USER; number += 1) past.add(user(2), id(number), { state: 'ended' })
  assert.equal(past.of(user(2), id(0)), undefined)
  assert.deepEqual(past.of(user(2), id(1)), { state: 'ended' })
  assert.deepEqual(past.of(user(1), id(0)), CUT)
  const users = MAX_PAST / MAX_PAST_PER_USER
  for (let uid = 2; uid < 2 + users; uid += 1) {
    for (let number = 0; number < MAX_PAST_PER_USER; number += 1) past.add(user(uid), id(number), { state: 'ended' })
  }
  assert.deepEqual(past.of(user(1), id(0)), CUT)
  assert.deepEqual(past.of(user(1 + users), id(MAX_PAST_PER_USER - 1)), { state: 'ended' })
})
