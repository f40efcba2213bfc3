import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerKey } from '../../src/identity/index.ts'
import { answer, type DriverPorts, RegistryDriver, SyncSession } from '../../src/registry/index.ts'
import { SyncPace } from '../../src/registry/sync-pace.ts'
import { mesh, type Node, recordOf, Time } from './world.ts'

const OFTEN_MS = 1_500
const REST_MS = 6_000

test('a host of a full mesh rests after six sessions that found nothing, and any news ends the rest', () => {
  const pace = new SyncPace()
  for (let sessions = 0; sessions < 5; sessions += 1) pace.nothingNew()
  assert.equal(pace.pauseMs(50), OFTEN_MS)
  pace.nothingNew()
  assert.equal(pace.pauseMs(50), REST_MS)
  assert.equal(pace.pauseMs(65), 3_000, 'where renewals travel by sessions, no host rests')
  assert.equal(pace.news(), true)
  assert.equal(pace.pauseMs(50), OFTEN_MS)
  assert.equal(pace.news(), false)
})

/** A host that synchronises with `other`, step by step. */
function driving(node: Node, other: Node, time: Time) {
  const timers: Array<{ ms: number; run: () => void }> = []
  let sessions = 0
  const ports: DriverPorts = {
    now: () => ({ ...time }),
    random: () => 0.5,
    after: (ms, run) => {
      const timer = { ms, run }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), 1)
    },
    connected: () => [other.peer],
    listening: (): PeerKey[] => [],
    publish: () => {},
    request: (_peer, bytes, onResponse) => {
      sessions += 1
      queueMicrotask(() => onResponse(answer(other.state, bytes, { ...time })))
      return () => {}
    },
    ack: () => () => {},
    gather: () => {},
    synchronised: () => {},
    saveHighWaterMarks: () => {},
    deleteHighWaterMark: () => {},
    notify: () => {}
  }
  const driver = new RegistryDriver(node.state, ports)
  driver.start()
  const pauseMs = (): number => Math.max(...timers.map(({ ms }) => ms))
  const session = async (): Promise<void> => {
    const longest = timers.find(({ ms }) => ms === pauseMs())
    assert(longest !== undefined)
    timers.splice(timers.indexOf(longest), 1)
    longest.run()
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
  }
  const rest = async (): Promise<void> => {
    // The pause that begins after the sixth session is the first long one.
    for (let at = 0; at < 7; at += 1) await session()
    assert.equal(pauseMs(), REST_MS)
  }
  return { driver, rest, session, pauseMs, sessions: () => sessions }
}

test('a host that rested asks often again when it changes something, when a peer differs, and when a session found something', async () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const { driver, rest, session, pauseMs } = driving(a, b, time)
  await rest()
  driver.dispatch({ type: 'local-change', puts: [recordOf(a.machine, 'web')], deletes: [] })
  assert.equal(pauseMs(), OFTEN_MS, 'its own change')
  await rest()
  b.put('db')
  driver.answer(new SyncSession(b.state, a.peer).first())
  assert.equal(pauseMs(), OFTEN_MS, 'a peer that asks holds something else')
  await session()
  assert.deepEqual(a.sees(b), ['db'])
  await rest()
  b.put('cache')
  await session()
  assert.deepEqual(a.sees(b).toSorted(), ['cache', 'db'])
  assert.equal(pauseMs(), OFTEN_MS, 'a session that found something')
})

test('a renewal does not end the rest', async () => {
  const time = new Time()
  const [a, b] = mesh(time, 'a', 'b') as [Node, Node]
  const { driver, rest, pauseMs } = driving(a, b, time)
  await rest()
  b.step({ type: 'refresh' })
  driver.gossip(b.sent.at(-1) ?? new Uint8Array(), b.peer)
  driver.dispatch({ type: 'refresh' })
  assert.equal(pauseMs(), REST_MS)
})
