import assert from 'node:assert/strict'
import test from 'node:test'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { Duplicates } from '../../src/mesh/admission/duplicates.ts'
import { recorder } from './support.ts'

const PEER: PeerKey = peerKeyOf(new Uint8Array(32).fill(1).with(0, 9))

function setUp() {
  const time = { nowMs: 1_000_000 }
  const { log, lines } = recorder()
  const duplicates = new Duplicates({ monotonicMs: () => time.nowMs }, log)
  const replaceAfter = (ms: number): void => {
    time.nowMs += ms
    duplicates.replaced(PEER, 'b')
  }
  return { time, lines, duplicates, replaceAfter }
}

test('a host that dials again now and then is one host', () => {
  const { lines, duplicates, replaceAfter } = setUp()
  for (let times = 0; times < 2; times += 1) replaceAfter(1_000)
  for (let times = 0; times < 10; times += 1) replaceAfter(61_000)
  assert.equal(duplicates.isHeldOff(PEER), false)
  assert.deepEqual(duplicates.list(), { own: false, machines: [] })
  assert.deepEqual(lines, [])
})

test('two that take the place of each other are held off for longer each time, up to a minute, in one line', () => {
  const { time, lines, duplicates, replaceAfter } = setUp()
  for (let times = 0; times < 3; times += 1) replaceAfter(100)
  for (const pauseMs of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
    time.nowMs += pauseMs - 1
    assert.equal(duplicates.isHeldOff(PEER), true)
    time.nowMs += 1
    assert.equal(duplicates.isHeldOff(PEER), false)
    replaceAfter(0)
  }
  assert.deepEqual(duplicates.list().machines, ['b'])
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [['error', 'two processes use the identity of one host']]
  )
  time.nowMs += 600_000
  assert.deepEqual(duplicates.list().machines, [])
})

test('a host that is refused as the second of its identity shows it, and says it once', () => {
  const { time, lines, duplicates } = setUp()
  for (let times = 0; times < 5; times += 1) duplicates.ownRefused('a')
  assert.equal(duplicates.list().own, true)
  assert.equal(lines.length, 1)
  time.nowMs += 600_000
  assert.equal(duplicates.list().own, false)
})
