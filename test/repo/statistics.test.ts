import assert from 'node:assert/strict'
import test from 'node:test'
import { medianInterval } from '../../bench/statistics.ts'

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1)

test('the interval of a median is that of the ranks: 95 %, and all values where there are fewer than six', () => {
  // The table that every book on the sign test has.
  const ranks = { 1: [1, 1], 5: [1, 5], 6: [1, 6], 9: [2, 8], 10: [2, 9], 11: [2, 10], 15: [4, 12], 20: [6, 15] }
  for (const [count, expected] of Object.entries(ranks)) {
    assert.deepEqual(medianInterval(upTo(Number(count)).toReversed()), expected, `${count} values`)
  }
})

test('the interval of a median holds it nineteen times of twenty', () => {
  // A generator of its own: the same numbers in each run.
  let state = 12_345
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  let held = 0
  for (let trial = 0; trial < 2_000; trial += 1) {
    // The median is 0.25 of squares of what is evenly spread.
    const [from, to] = medianInterval(Array.from({ length: 11 }, () => next() ** 2))
    if (from <= 0.25 && 0.25 <= to) held += 1
  }
  assert.ok(held >= 0.95 * 2_000 && held < 2_000, `${held} of 2000`)
})
