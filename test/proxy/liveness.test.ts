import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Liveness, type Watched } from '../../src/proxy/session/liveness.ts'

const TICK_MS = 250

/** A session whose other end answers pings only when it is told to, and a clock that can jump as a busy process sees it. */
function watched(more: Partial<Watched> = {}) {
  mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  let answer: ((err: Error | null, roundTripMs: number) => void) | undefined
  let pings = 0
  let bytesRead = 0
  const ends: string[] = []
  const watch = {
    session: {
      destroyed: false,
      closed: false,
      ping: (callback: typeof answer) => {
        pings += 1
        answer = callback
      }
    },
    socket: {
      get bytesRead() {
        return bytesRead
      }
    },
    isBusy: () => true,
    onSilent: () => ends.push('silent'),
    onDead: () => ends.push('dead'),
    ...more
  } as unknown as Watched
  const liveness = new Liveness(() => nowMs)
  liveness.watch(watch)
  return {
    ends,
    isSilent: () => liveness.isSilent(watch),
    /** The next tick of the timer, `ms` after the last. */
    tick: (ms = TICK_MS) => {
      nowMs += ms
      mock.timers.tick(TICK_MS)
    },
    hear: () => {
      bytesRead += 1
    },
    answer: (roundTripMs = 1) => answer?.(null, roundTripMs),
    pings: () => pings,
    [Symbol.dispose]: () => {
      liveness.stop()
      mock.timers.reset()
    }
  }
}

test('a session without a sign of life is silent after three quarters of a second and dead after three', () => {
  using one = watched()
  one.tick()
  for (let ticks = 0; ticks < 2; ticks += 1) one.tick()
  assert.deepEqual(one.ends, [])
  one.tick()
  assert.deepEqual(one.ends, ['silent'])
  for (let ticks = 0; ticks < 9; ticks += 1) one.tick()
  assert.deepEqual(one.ends, ['silent', 'dead'])
})

test('a process that was late itself blames nobody for it, however late and however often', () => {
  using one = watched()
  one.tick()
  // Each time it stood still for four seconds, and the answer lies unread in the kernel.
  for (let stalls = 0; stalls < 5; stalls += 1) {
    one.tick(4_000)
    assert.equal(one.isSilent(), false)
    one.answer()
    // The next ping.
    one.tick()
  }
  assert.deepEqual(one.ends, [])
})

test('any byte is a sign of life, for a ping may wait behind bulk data', () => {
  using one = watched()
  for (let ticks = 0; ticks < 40; ticks += 1) {
    one.tick()
    one.hear()
  }
  assert.deepEqual(one.ends, [])
})

test('an answer ends the silence', () => {
  using one = watched()
  for (let ticks = 0; ticks < 4; ticks += 1) one.tick()
  assert.equal(one.isSilent(), true)
  one.answer()
  assert.equal(one.isSilent(), false)
  for (let ticks = 0; ticks < 20; ticks += 1) {
    one.tick()
    one.answer()
  }
  assert.deepEqual(one.ends, ['silent'])
})

test('on a link of long round trips an answer that takes as long as before is no silence', () => {
  using one = watched()
  one.tick()
  one.answer(600)
  for (let ticks = 0; ticks < 9; ticks += 1) one.tick()
  assert.deepEqual(one.ends, [], 'the next ping waits for less than four of them')
  for (let ticks = 0; ticks < 3; ticks += 1) one.tick()
  assert.deepEqual(one.ends, ['silent'])
})

test('an end whose session the other one pings does so itself only when it hears nothing', () => {
  using one = watched({ isPinged: true })
  one.hear()
  for (let ticks = 0; ticks < 40; ticks += 1) {
    one.tick()
    if (ticks % 2 === 0) one.hear()
  }
  assert.equal(one.pings(), 0)
  for (let ticks = 0; ticks < 5; ticks += 1) one.tick()
  assert.equal(one.pings(), 1)
  for (let ticks = 0; ticks < 12; ticks += 1) one.tick()
  assert.deepEqual(one.ends, ['silent', 'dead'])
})
