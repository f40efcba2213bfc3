import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type LogFields,
  LruMap,
  Quota,
  RateLimitedLog,
  silentLogger,
  TokenBucket,
  TokenBuckets
} from '../../src/core/index.ts'

test('a bucket allows its burst at once and its rate in the long run', () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, 0)
  const takes = (nowMs: number): boolean[] => [0, 1, 2, 3].map(() => bucket.take(nowMs))
  assert.deepEqual(takes(0), [true, true, true, false])
  assert.equal(bucket.take(99), false)
  assert.equal(bucket.take(100), true)
  assert.deepEqual(takes(100_000), [true, true, true, false])
})

test('no bucket ever lets through more than its burst and its rate, whatever the clock does', () => {
  const steps = fc.array(fc.record({ ms: fc.integer({ min: -5_000, max: 5_000 }), lazily: fc.boolean() }))
  const check = (burst: number, perSecond: number, all: Array<{ ms: number; lazily: boolean }>): void => {
    const bucket = new TokenBucket({ burst, perSecond }, 0)
    let nowMs = 0
    let passedMs = 0
    let taken = 0
    for (const { ms, lazily } of all) {
      nowMs += ms
      passedMs += Math.max(0, ms)
      const isTaken = lazily ? bucket.takeLazily(() => nowMs) : bucket.take(nowMs)
      if (isTaken) taken += 1
    }
    assert.ok(taken <= burst + (passedMs / 1_000) * perSecond + 1e-6, `${taken} of ${burst}`)
  }
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 5 }), steps, check))
})

test('the clock is not read while something is left', () => {
  let reads = 0
  const bucket = new TokenBucket({ perSecond: 1, burst: 2 }, 0)
  const now = (): number => {
    reads += 1
    return 0
  }
  assert.deepEqual([bucket.takeLazily(now), bucket.takeLazily(now), reads], [true, true, 0])
  assert.deepEqual([bucket.takeLazily(now), reads], [false, 1])
})

test('what one key uses costs the others nothing, and comes back, never above the burst', () => {
  const buckets = new TokenBuckets<string>({ burst: 10, perSecond: 2, maxKeys: 8 })
  buckets.use('a', 10, 0)
  assert.deepEqual([buckets.left('a', 0), buckets.left('a', 1_500), buckets.left('b', 0)], [0, 3, 10])
  assert.equal(buckets.left('a', 60_000), 10)
  const taken = (key: string): number =>
    Array.from({ length: 100 }, () => buckets.take(key, 60_000)).filter(Boolean).length
  assert.deepEqual([taken('a'), taken('b')], [10, 10])
})

test('what was overdrawn is paid off first', () => {
  const buckets = new TokenBuckets<string>({ burst: 1, perSecond: 1, maxKeys: 8 })
  buckets.use('a', 3, 0)
  assert.deepEqual([buckets.left('a', 1_000), buckets.left('a', 2_000)], [-1, 0])
})

test('of too many keys the one unused for longest starts anew', () => {
  const buckets = new TokenBuckets<string>({ burst: 1, perSecond: 0, maxKeys: 2 })
  for (const key of ['a', 'b', 'a', 'c']) buckets.use(key, 1, 0)
  assert.deepEqual(
    ['a', 'b', 'c'].map(key => buckets.left(key, 0)),
    [-1, 1, 0]
  )
})

test('a map of the last used holds no more than its maximum, and says what had to go', () => {
  const map = new LruMap<string, number>(2)
  assert.equal(map.set('a', 1), undefined)
  map.set('b', 2)
  map.set('a', 3)
  assert.equal(map.set('c', 4), 'b')
  assert.deepEqual(
    [...map],
    [
      ['a', 3],
      ['c', 4]
    ]
  )
  let made = 0
  const make = (): number => {
    made += 1
    return 5
  }
  assert.deepEqual([map.getOrMake('a', make), map.getOrMake('d', make), made], [3, 5, 1])
  assert.deepEqual([...map.keys()], ['c', 'd'])
})

test('a quota gives each key its share, all of them theirs, and takes a place back once', () => {
  const quota = new Quota<string>(2, 3)
  const first = quota.take('a')
  quota.take('a')
  assert.equal(quota.take('a'), undefined)
  quota.take('b')
  assert.equal(quota.take('c'), undefined)
  first?.()
  first?.()
  assert.equal(quota.size, 2)
  assert.notEqual(quota.take('c'), undefined)
  assert.equal(quota.take('b'), undefined)
})

test('one who fails again and again neither fills the log nor hides the others', () => {
  const lines = { warn: 0, debug: 0 }
  const count =
    (level: keyof typeof lines) =>
    (_message: string, _fields?: LogFields): void => {
      lines[level] += 1
    }
  let nowMs = 0
  const log = new RateLimitedLog(
    { ...silentLogger, warn: count('warn'), debug: count('debug') },
    { monotonicMs: () => nowMs },
    { perKey: { burst: 2, perSecond: 1, maxKeys: 8 }, all: { burst: 4, perSecond: 1 } }
  )
  for (let times = 0; times < 100; times += 1) log.warn('noisy', 'refused', {})
  assert.deepEqual(lines, { warn: 2, debug: 98 })
  log.warn('another', 'refused', {})
  assert.equal(lines.warn, 3)
  for (const key of ['c', 'd', 'e']) log.warn(key, 'refused', {})
  assert.equal(lines.warn, 4)
  nowMs += 1_000
  log.warn('e', 'refused', {})
  assert.equal(lines.warn, 5)
})
