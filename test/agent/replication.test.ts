import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awaitReplication, type Progress } from '../../src/cluster/replication.ts'

const NEVER = new AbortController().signal

function steps(...states: Progress[]) {
  let at = 0
  return {
    progress: () => states[at]!,
    changed: async () => {
      at = Math.min(at + 1, states.length - 1)
    }
  }
}

const of = (required: number, ...missing: string[]): Progress => ({ required, missing })

test('a host that is alone has replicated at once', async () => {
  const { progress, changed } = steps(of(0))
  assert.deepEqual(await awaitReplication('all', progress, changed, NEVER), {
    state: 'replicated',
    acked: 0,
    required: 0,
    missing: []
  })
})

test('all waits for the last acknowledgement', async () => {
  const { progress, changed } = steps(of(2, 'b', 'c'), of(2, 'c'), of(2))
  assert.deepEqual(await awaitReplication('all', progress, changed, NEVER), {
    state: 'replicated',
    acked: 2,
    required: 2,
    missing: []
  })
})

test('a quorum is a majority of all hosts, this one included', async () => {
  const { progress, changed } = steps(of(4, 'b', 'c', 'd', 'e'), of(4, 'c', 'd', 'e'), of(4, 'd', 'e'), of(4))
  const { state, acked, missing } = await awaitReplication('quorum', progress, changed, NEVER)
  assert.deepEqual({ state, acked, missing }, { state: 'partial', acked: 2, missing: ['d', 'e'] })
})

test('local does not wait, and does not claim more than is so', async () => {
  const { progress, changed } = steps(of(1, 'b'))
  assert.deepEqual(await awaitReplication('local', progress, changed, NEVER), {
    state: 'partial',
    acked: 0,
    required: 1,
    missing: ['b']
  })
})

test('the deadline names who did not answer', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const waiting = awaitReplication(
    'all',
    () => of(2, 'c'),
    () => new Promise(() => {}),
    NEVER
  )
  t.mock.timers.tick(5_000)
  assert.deepEqual(await waiting, { state: 'partial', acked: 1, required: 2, missing: ['c'] })
})

test('a caller that goes away ends the wait', async () => {
  const gone = new AbortController()
  const waiting = awaitReplication(
    'all',
    () => of(1, 'b'),
    () => new Promise(() => {}),
    gone.signal
  )
  gone.abort(new Error('gone'))
  await assert.rejects(waiting, { message: 'gone' })
})
