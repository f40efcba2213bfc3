import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Liveness, type Watched } from '../../src/proxy/session/liveness.ts'

const TICK_MS = 500

/** A session whose other end answers pings only when it is told to, and a clock that can jump as a busy process sees it. */
function watched() {
  mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  let answer: ((err: Error | null) => void) | undefined
  let bytesRead = 0
  const ends: string[] = []
  const watch = {
    session: {
      destroyed: false,
      closed: false,
      ping: (callback: (err: Error | null) => void) => {
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
    onDead: () => ends.push('dead')
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
    answer: () => answer?.(null),
    [Symbol.dispose]: () => {
      liveness.stop()
      mock.timers.reset()
    }
  }
}

test('a session without a sign of life is silent after a second and dead after three', () => {
  using one = watched()
  one.tick()
  for (let ticks = 0; ticks < 2; ticks += 1) one.tick()
  assert.deepEqual(one.ends, ['silent'])
  for (let ticks = 0; ticks < 4; ticks += 1) one.tick()
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
