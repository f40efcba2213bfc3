import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MonotoneClock } from '../../src/core/index.ts'

const T0 = Date.UTC(2026, 5, 1)
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A host whose clock `set` moves, and whose time passes by `pass`. */
function host(startMs = T0) {
  let wall = startMs
  let monotonic = 5_000
  return {
    clock: { wallMs: () => wall, monotonicMs: () => monotonic },
    set: (ms: number) => {
      wall = ms
    },
    pass: (ms: number) => {
      wall += ms
      monotonic += ms
    }
  }
}

test('time does not go back with the clock, and advances while the clock is behind', () => {
  const { clock, set, pass } = host()
  const time = new MonotoneClock(clock)
  pass(HOUR)
  assert.equal(time.wallMs(), T0 + HOUR)
  set(T0)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + HOUR, HOUR])
  pass(5 * MINUTE)
  assert.equal(time.wallMs(), T0 + HOUR + 5 * MINUTE)
  set(T0 + 2 * HOUR)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + 2 * HOUR, 0])
})

test('a step back within the skew of hosts is no alarm', () => {
  const { clock, set } = host()
  const time = new MonotoneClock(clock)
  set(T0 - 30_000)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0, 0])
  set(T0 - 30_001)
  assert.equal(time.behindMs, 30_001)
})

test('a run continues from the mark of the run before', () => {
  const behind = new MonotoneClock(host().clock, T0 + HOUR)
  assert.deepEqual([behind.wallMs(), behind.behindMs], [T0 + HOUR, HOUR])
  const ahead = new MonotoneClock(host().clock, T0 - HOUR)
  assert.deepEqual([ahead.wallMs(), ahead.behindMs], [T0, 0])
})

test('a step forward counts at once, and is forgotten when it is taken back within ten minutes', () => {
  const { clock, set, pass } = host()
  const time = new MonotoneClock(clock)
  pass(HOUR)
  set(T0 + 365 * 24 * HOUR)
  assert.equal(time.wallMs(), T0 + 365 * 24 * HOUR)
  pass(9 * MINUTE)
  time.wallMs()
  set(T0 + HOUR + 9 * MINUTE)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + HOUR + 9 * MINUTE, 0])
})

test('a step forward that is taken back too far goes back to where time would be without it, and no further', () => {
  const { clock, set, pass } = host()
  const time = new MonotoneClock(clock)
  set(T0 + 2 * HOUR)
  time.wallMs()
  pass(MINUTE)
  set(T0 - HOUR)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + MINUTE, HOUR + MINUTE])
})

test('a wrong clock at the start of the host, corrected soon after, leaves no mark', () => {
  const { clock, set, pass } = host(T0 + 2 * HOUR)
  const time = new MonotoneClock(clock, T0 - HOUR)
  assert.equal(time.wallMs(), T0 + 2 * HOUR)
  pass(MINUTE)
  set(T0 + MINUTE)
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + MINUTE, 0])
})

test('after ten minutes only the operator takes time back', () => {
  const { clock, set, pass } = host()
  const time = new MonotoneClock(clock)
  set(T0 + 24 * HOUR)
  time.wallMs()
  pass(10 * MINUTE)
  time.wallMs()
  set(T0 + 10 * MINUTE)
  assert.equal(time.behindMs, 24 * HOUR)
  time.accept()
  assert.deepEqual([time.wallMs(), time.behindMs], [T0 + 10 * MINUTE, 0])
  set(T0)
  assert.equal(time.wallMs(), T0 + 10 * MINUTE)
})
