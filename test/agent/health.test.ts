import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hysteresis } from '../../src/workloads/health/hysteresis.ts'

test('one failed probe changes nothing, two in a row do, and so back', () => {
  const verdict = new Hysteresis()
  assert.deepEqual([verdict.isPassing, verdict.isUncertain], [true, false])
  assert.equal(verdict.note(false), false)
  assert.deepEqual([verdict.isPassing, verdict.isUncertain], [true, true])
  assert.equal(verdict.note(true), false)
  assert.equal(verdict.note(false), false)
  assert.equal(verdict.note(false), true)
  assert.deepEqual([verdict.isPassing, verdict.isUncertain], [false, true])
  assert.equal(verdict.note(true), false)
  assert.equal(verdict.note(false), false)
  assert.equal(verdict.note(true), false)
  assert.equal(verdict.note(true), true)
  assert.deepEqual([verdict.isPassing, verdict.isUncertain], [true, false])
})

test('a target that fails every second time is never put in or out', () => {
  const verdict = new Hysteresis()
  const changes = Array.from({ length: 100 }, (_unused, at) => verdict.note(at % 2 === 0))
  assert.ok(!changes.includes(true))
})
