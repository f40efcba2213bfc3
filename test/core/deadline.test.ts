import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Deadline } from '../../src/core/index.ts'

test('each step has its own time, and the one that takes longer aborts', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const deadline = new Deadline(new AbortController().signal)
  deadline.step(10)
  t.mock.timers.tick(9)
  deadline.step(10)
  t.mock.timers.tick(9)
  assert.equal(deadline.signal.aborted, false)
  t.mock.timers.tick(1)
  assert.equal(deadline.signal.reason.name, 'TimeoutError')
})

test('a deadline follows its parent, also one that has aborted', () => {
  const parent = new AbortController()
  const before = new Deadline(parent.signal)
  parent.abort(new Error('stopping'))
  for (const { signal } of [before, new Deadline(parent.signal)]) assert.equal(signal.reason.message, 'stopping')
})

test('a deadline that has ended leaves neither timer nor listener behind', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const parent = new AbortController()
  const deadline = new Deadline(parent.signal)
  deadline.step(10)
  deadline.end()
  t.mock.timers.tick(20)
  assert.equal(deadline.signal.aborted, false)
  assert.equal(getEventListeners(parent.signal, 'abort').length, 0)
})
