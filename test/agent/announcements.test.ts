import assert from 'node:assert/strict'
import test from 'node:test'
import { Announcements } from '../../src/agent/announcements.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { Profile } from '../../src/registry/index.ts'
import { Node, Time } from '../registry/world.ts'
import { TestLog } from './support.ts'

test('a word that others would refuse is an error here, told once and shown, and the next good one goes out', () => {
  const time = new Time()
  const [a, b] = [new Node('a', time, { publishes: false }), new Node('b', time)]
  const log = new TestLog()
  const announcements = new Announcements({ announce: said => void a.announce(said), log })
  announcements.begin(a.profile)
  const bad: Profile = { ...a.profile, dataAddresses: Array.from({ length: 17 }, (_, at) => `192.0.2.1:${at + 1}`) }
  for (let count = 0; count < 5; count += 1) announcements.publish(bad)
  assert.match(announcements.problem ?? '', /INVALID_ARGUMENT.*17 entries where 16 may be/)
  assert.equal(log.alarms.length, 1)
  a.step({ type: 'refresh' })
  b.pull(a)
  assert.deepEqual(b.state.entries.get(a.peer)?.sealed.head.dataAddresses, ['127.0.0.1:7461'])
  announcements.publish({ ...bad, dataAddresses: ['192.0.2.1:1'] })
  assert.equal(announcements.problem, undefined)
  b.pull(a)
  assert.deepEqual(b.state.entries.get(a.peer)?.sealed.head.dataAddresses, ['192.0.2.1:1'])
})

test('a first word that others would refuse ends the start with its error', () => {
  const refused = new WarrenError(ErrorCode.InvalidArgument, 'too much')
  const announcements = new Announcements({
    announce: () => {
      throw refused
    },
    log: new TestLog()
  })
  assert.throws(() => announcements.begin({} as Profile), refused)
})
