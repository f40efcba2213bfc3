import assert from 'node:assert/strict'
import test from 'node:test'
import { silentLogger } from '../../src/core/index.ts'
import {
  EventBus,
  EventHistory,
  KEPT_EVENTS,
  KEPT_MS,
  MAX_KEPT_PER_EVENT,
  type Occurrences
} from '../../src/events/index.ts'

const REFUSED = { remote: '192.0.2.1', method: 'token', reason: 'TOKEN_USED' }
const HOST = { peer: '12D3' as never, machine: 'b' }
const ENDED = {
  flowId: 'f',
  direction: 'inbound',
  source: 's',
  destination: 'd',
  protocol: 'tcp',
  carrier: 'direct',
  rule: '',
  reason: '',
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 1
} as const

function started() {
  let nowMs = 1_000_000_000
  const bus = new EventBus(silentLogger)
  const history = new EventHistory({ wallMs: () => nowMs })
  history.record(bus)
  return {
    bus,
    history,
    pass: (ms: number) => {
      nowMs += ms
    },
    names: () => history.recent(KEPT_EVENTS, 0).map(({ name }) => name)
  }
}

test('what happened is kept in its order, for a day, and from the time on that is asked for', () => {
  const { bus, history, pass, names } = started()
  bus.emit('host-connected', HOST)
  pass(1_000)
  bus.emit('join-refused', REFUSED)
  bus.emit('host-lost', { ...HOST, cause: 'expired' })
  assert.deepEqual(names(), ['host-connected', 'join-refused', 'host-lost'])
  assert.deepEqual(
    history.recent(KEPT_EVENTS, 1_000_001_000).map(({ name }) => name),
    ['join-refused', 'host-lost']
  )
  assert.deepEqual(
    history.recent(['host-lost'], 0).map(({ fields }) => fields),
    [{ ...HOST, cause: 'expired' }]
  )
  pass(KEPT_MS - 1_000)
  assert.deepEqual(names(), ['host-connected', 'join-refused', 'host-lost'])
  pass(1)
  assert.deepEqual(names(), ['join-refused', 'host-lost'])
})

test('a storm of one event pushes out no other, and an orderly end of a flow is not kept', () => {
  const { bus, history, names } = started()
  bus.emit('host-lost', { ...HOST, cause: 'left' })
  for (let at = 0; at < MAX_KEPT_PER_EVENT * 3; at += 1) bus.emit('join-refused', { ...REFUSED, reason: String(at) })
  for (const kind of ['ended', 'done', 'reset']) bus.emit('flow-ended', { ...ENDED, kind })
  bus.emit('profile-changed', {})
  assert.equal(names().length, MAX_KEPT_PER_EVENT + 2)
  assert.equal(names()[0], 'host-lost')
  const [first] = history.recent(['join-refused'], 0)
  assert.deepEqual(first?.fields, { ...REFUSED, reason: String(MAX_KEPT_PER_EVENT * 2) })
  assert.equal(names().filter(name => name === 'flow-ended').length, 1)
})

test('who follows gets the past, then what happens, and learns how much it has missed', async () => {
  const { bus, history } = started()
  bus.emit('join-refused', { ...REFUSED, reason: 'past' })
  bus.emit('host-connected', HOST)
  const end = new AbortController()
  const following = history.follow(['join-refused'], 0, end.signal)
  const next = async () => {
    const { value } = (await following.next()) as IteratorYieldResult<Occurrences>
    const { events, missed } = value
    return { reasons: events.map(({ fields }) => (fields as typeof REFUSED).reason), missed }
  }
  assert.deepEqual(await next(), { reasons: ['past'], missed: 0 })
  const waiting = next()
  bus.emit('host-connected', HOST)
  bus.emit('join-refused', { ...REFUSED, reason: 'now' })
  assert.deepEqual(await waiting, { reasons: ['now'], missed: 0 })
  for (let at = 0; at < MAX_KEPT_PER_EVENT + 44; at += 1) bus.emit('join-refused', { ...REFUSED, reason: String(at) })
  const late = await next()
  assert.deepEqual([late.missed, late.reasons.length, late.reasons[0]], [44, MAX_KEPT_PER_EVENT, '44'])
  bus.emit('join-refused', { ...REFUSED, reason: 'last' })
  assert.deepEqual(await next(), { reasons: ['last'], missed: 0 })
  end.abort(new Error('over'))
  assert.equal((await following.next()).done, true)
})
