import assert from 'node:assert/strict'
import test from 'node:test'
import { Announcer } from '../../src/cluster/announcer.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { Profile } from '../../src/registry/index.ts'
import { TestLog } from '../agent/support.ts'
import { Node, Time } from '../registry/world.ts'

test('a word that others would refuse is an error here, told once and shown, and the next good one goes out', () => {
  const time = new Time()
  const [a, b] = [new Node('a', time, { publishes: false }), new Node('b', time)]
  const log = new TestLog()
  let said = a.profile
  const announcer = new Announcer({
    profile: () => said,
    isShutOut: () => false,
    announce: profile => void a.announce(profile),
    log
  })
  announcer.announce()
  assert.equal(b.state.entries.size, 1)
  announcer.begin()
  const bad: Profile = { ...a.profile, dataAddresses: Array.from({ length: 17 }, (_, at) => `192.0.2.1:${at + 1}`) }
  said = bad
  for (let count = 0; count < 5; count += 1) announcer.announce()
  assert.match(announcer.problem ?? '', /INVALID_ARGUMENT.*17 entries where at most 16 are allowed/)
  assert.equal(log.alarms.length, 1)
  a.step({ type: 'refresh' })
  b.pull(a)
  assert.deepEqual(b.state.entries.get(a.peer)?.sealed.head.dataAddresses, ['127.0.0.1:7461'])
  said = { ...bad, dataAddresses: ['192.0.2.1:1'] }
  announcer.announce()
  assert.equal(announcer.problem, undefined)
  b.pull(a)
  assert.deepEqual(b.state.entries.get(a.peer)?.sealed.head.dataAddresses, ['192.0.2.1:1'])
})

test('a first word that others would refuse ends the start with its error', () => {
  const refused = new WarrenError(ErrorCode.InvalidArgument, 'too much')
  const announcer = new Announcer({
    profile: () => new Node('a', new Time()).profile,
    isShutOut: () => false,
    announce: () => {
      throw refused
    },
    log: new TestLog()
  })
  assert.throws(() => announcer.begin(), refused)
})

test('a host that nobody would hear says nothing, and says it once it is heard again', () => {
  let isShutOut = true
  const said: Profile[] = []
  const announcer = new Announcer({
    profile: () => new Node('a', new Time()).profile,
    isShutOut: () => isShutOut,
    announce: profile => said.push(profile),
    log: new TestLog()
  })
  announcer.begin()
  announcer.announce()
  assert.equal(said.length, 0)
  isShutOut = false
  announcer.announce()
  assert.equal(said.length, 1)
})
