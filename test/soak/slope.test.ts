import assert from 'node:assert/strict'
import test from 'node:test'
import { growthOf, type Point } from './slope.ts'

const MINUTE_MS = 60_000

/** One point each half minute for so many minutes. */
function series(minutes: number, valueAt: (minute: number) => number): Point[] {
  return Array.from({ length: minutes * 2 + 1 }, (_, index) => ({
    atMs: index * (MINUTE_MS / 2),
    value: valueAt(index / 2)
  }))
}

test('a measure that grows by the minute is found, however it jumps', () => {
  const growth = growthOf(series(30, minute => 100 + 2 * minute + (minute % 5 === 0 ? 500 : 0)))
  assert.ok(growth !== undefined && Math.abs(growth.perMinute - 2) < 0.1, JSON.stringify(growth))
  assert.ok(Math.abs(growth.total - 40) < 3, JSON.stringify(growth))
})

test('a measure that grows while an agent warms up, and then no more, is flat', () => {
  const growth = growthOf(series(30, minute => Math.min(minute, 9) * 10))
  assert.equal(growth?.perMinute, 0)
})

test('nothing is said of a life that was too short', () => {
  assert.equal(growthOf(series(1, minute => minute)), undefined)
  assert.equal(growthOf([]), undefined)
})
