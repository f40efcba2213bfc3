import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { silentLogger } from '../../src/core/index.ts'
import { Rounds } from '../../src/mesh/dialing/rounds.ts'

const TICK_MS = 100
const REST_MS = 1_000

function setUp(t: TestContext, restMs: number | (() => number)) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const ended = new AbortController()
  let count = 0
  const round = (): number => {
    count += 1
    return typeof restMs === 'number' ? restMs : restMs()
  }
  const rounds = new Rounds({ round, tickMs: TICK_MS, log: silentLogger, signal: ended.signal })
  // Longer than the longest pause: each differs by up to a tenth.
  const pass = (ms: number): void => t.mock.timers.tick(1.1 * ms)
  return { rounds, pass, ended, count: () => count }
}

test('while nothing is due an agent looks once in a rest, and not at each tick', t => {
  const { rounds, pass, count } = setUp(t, REST_MS)
  rounds.start()
  assert.equal(count(), 1)
  for (let ticks = 0; ticks < 5; ticks += 1) pass(TICK_MS)
  assert.equal(count(), 1)
  pass(REST_MS)
  assert.equal(count(), 2)
})

test('an event ends a rest, and many of them bring one round', t => {
  const { rounds, pass, count } = setUp(t, REST_MS)
  rounds.start()
  for (let events = 0; events < 50; events += 1) rounds.wake()
  assert.equal(count(), 1)
  pass(TICK_MS)
  assert.equal(count(), 2)
  pass(TICK_MS)
  assert.equal(count(), 2)
})

test('while dials are under way each tick looks, also after a round that failed', t => {
  let calls = 0
  const { rounds, pass, count } = setUp(t, () => {
    calls += 1
    if (calls === 2) throw new Error('no')
    return 0
  })
  rounds.start()
  for (let ticks = 0; ticks < 3; ticks += 1) pass(TICK_MS)
  assert.equal(count(), 4)
})

test('no round comes after the end of the mesh', t => {
  const { rounds, pass, ended, count } = setUp(t, REST_MS)
  rounds.start()
  ended.abort()
  rounds.wake()
  pass(REST_MS)
  assert.equal(count(), 1)
})
