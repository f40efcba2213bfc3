import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Allowance } from '../../src/core/index.ts'

test('a key gets back what it used, and never more than the burst', () => {
  const allowance = new Allowance<string>({ burst: 10, perSecond: 2, maxKeys: 8 })
  allowance.use('a', 10, 0)
  assert.equal(allowance.left('a', 0), 0)
  assert.equal(allowance.left('a', 1_500), 3)
  assert.equal(allowance.left('a', 60_000), 10)
  assert.equal(allowance.left('b', 0), 10)
})

test('what was overdrawn is paid off first', () => {
  const allowance = new Allowance<string>({ burst: 1, perSecond: 1, maxKeys: 8 })
  allowance.use('a', 3, 0)
  assert.equal(allowance.left('a', 1_000), -1)
  assert.equal(allowance.left('a', 2_000), 0)
})

test('of too many keys the one unused for longest is forgotten', () => {
  const allowance = new Allowance<string>({ burst: 1, perSecond: 1, maxKeys: 2 })
  for (const key of ['a', 'b', 'a', 'c']) allowance.use(key, 1, 0)
  assert.deepEqual(
    ['a', 'b', 'c'].map(key => allowance.left(key, 0)),
    [-1, 1, 0]
  )
})
