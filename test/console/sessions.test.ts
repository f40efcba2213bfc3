import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IDLE_MS, LINK_MS, MAX_SESSIONS, SESSION_MS, type Session, Sessions } from '../../src/console/sessions.ts'

function opened(sessions: Sessions, nowMs: number): Session {
  const session = sessions.open(sessions.createLink(nowMs), nowMs)
  assert.ok(session !== undefined)
  return session
}

test('a link opens nothing after 5 minutes', () => {
  const sessions = new Sessions()
  const link = sessions.createLink(0)
  assert.equal(LINK_MS, 5 * 60_000)
  assert.equal(sessions.open(link, LINK_MS), undefined)
  assert.notEqual(sessions.open(sessions.createLink(0), LINK_MS - 1), undefined)
})

test('a session ends after 30 minutes without use, and after 12 hours with it', () => {
  const sessions = new Sessions()
  const idle = opened(sessions, 0)
  assert.equal(sessions.find(idle.cookie, idle.key, IDLE_MS - 1), idle)
  assert.equal(sessions.find(idle.cookie, idle.key, 2 * IDLE_MS - 1), undefined)
  const busy = opened(sessions, 0)
  for (let atMs = 0; atMs < SESSION_MS; atMs += IDLE_MS / 2) {
    assert.equal(sessions.find(busy.cookie, busy.key, atMs), busy)
  }
  assert.equal(sessions.find(busy.cookie, busy.key, SESSION_MS), undefined)
  assert.deepEqual([IDLE_MS, SESSION_MS], [30 * 60_000, 12 * 3_600_000])
})

test('beyond eight sessions the one that was used least recently makes room', () => {
  const sessions = new Sessions()
  const all = Array.from({ length: MAX_SESSIONS }, (_, at) => opened(sessions, at))
  const [first, second] = all
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(sessions.find(first.cookie, first.key, 100), first)
  opened(sessions, 101)
  assert.equal(sessions.size, 8)
  assert.equal(sessions.find(first.cookie, first.key, 102), first)
  assert.equal(sessions.find(second.cookie, second.key, 102), undefined)
})

test('a wrong key does not keep a session in use', () => {
  const sessions = new Sessions()
  const { cookie, key } = opened(sessions, 0)
  assert.equal(sessions.find(cookie, 'wrong', IDLE_MS - 1), undefined)
  assert.equal(sessions.find(cookie, key, IDLE_MS), undefined)
})
