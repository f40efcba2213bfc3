import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Milestones } from '../../src/proxy/legs/milestones.ts'

test('a waiter for an offset is called back once, when exactly that or more is reached', () => {
  const milestones = new Milestones()
  const called: string[] = []
  for (const [name, offset] of [
    ['far', 20],
    ['near', 10],
    ['also near', 10]
  ] as const) {
    milestones.add(offset, () => called.push(name))
  }
  milestones.reach(9)
  assert.deepEqual(called, [])
  milestones.reach(10)
  assert.deepEqual(called, ['near', 'also near'])
  milestones.reach(25)
  milestones.reach(30)
  assert.deepEqual(called, ['near', 'also near', 'far'])
})
