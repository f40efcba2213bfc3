import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BacklogShares } from '../../src/client/backlog-shares.ts'

const MIB = 1024 * 1024

test('what waits for an agent has a bound for all sockets of a process, and one socket cannot have it all', () => {
  const shares = new BacklogShares()
  shares.join()
  assert.equal(shares.shareBytes, 4 * MIB)
  for (let sharers = 2; sharers <= 256; sharers += 1) {
    shares.join()
    assert.ok(sharers * shares.shareBytes <= 64 * MIB)
  }
  assert.equal(shares.shareBytes, MIB / 4)
})

test('each socket may hold the burst of a turn, however many there are', () => {
  const shares = new BacklogShares()
  for (let sharers = 0; sharers < 4_096; sharers += 1) shares.join()
  assert.equal(shares.shareBytes, MIB / 4)
})

test('who has ended leaves its share to the others', () => {
  const shares = new BacklogShares()
  for (let sharers = 0; sharers < 64; sharers += 1) shares.join()
  assert.equal(shares.shareBytes, MIB)
  for (let sharers = 0; sharers < 64; sharers += 1) shares.leave()
  assert.equal(shares.shareBytes, 4 * MIB)
})
