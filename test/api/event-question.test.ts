import assert from 'node:assert/strict'
import test from 'node:test'
import { eventsFor } from '../../src/api/services/event-question.ts'
import { ErrorCode, silentLogger, systemClock } from '../../src/core/index.ts'
import { EventBus, EventHistory } from '../../src/events/index.ts'
import type { AdminKey, InForce } from '../../src/policy/index.ts'
import { adminPb, create } from '../../src/wire/index.ts'
import { BOB, EVE, inForce, ROOT, STRANGER } from './asking-support.ts'

const PROCESS = { uid: 7, pid: 1 }
const FLOW = {
  flowId: 'f',
  direction: 'outbound',
  source: 'dev.a.b.c.d',
  destination: '',
  protocol: 'tcp',
  carrier: 'direct',
  rule: '',
  sourceProcess: PROCESS
} as const

const events = new EventBus(silentLogger)
const history = new EventHistory(systemClock)
history.record(events)
events.emit('rule-changed', { change: 'allow', subject: 's', uid: 0 })
events.emit('policy-changed', { version: 3n, reason: 'r' })
events.emit('flow-refused', { ...FLOW, reason: 'uid 7 has it', code: ErrorCode.Unauthorized })

type Question = Partial<Omit<adminPb.EventsQuestion, '$typeName' | '$unknown'>>

function asked(policy: InForce, signer: AdminKey | undefined, question: Question = {}, of = history) {
  const deps = { policy: { sets: { inForce: policy, ownKey: STRANGER } }, history: of } as unknown as Parameters<
    typeof eventsFor
  >[0]
  return eventsFor(deps, create(adminPb.EventsQuestionSchema, question), signer)
}

const namesOf = ({ events: some = [] }: ReturnType<typeof asked>) => some.map(({ name }) => name)

test('each role gets its events and their fields, and nobody a process or a user', () => {
  const [policy, refused] = asked(inForce(), EVE).events ?? []
  assert.deepEqual([policy?.name, JSON.parse(String(policy?.fields))], ['policy-changed', { version: 3, reason: 'r' }])
  assert.deepEqual(JSON.parse(String(refused?.fields)), {
    flowId: 'f',
    direction: 'outbound',
    source: 'dev.a.b.c.d',
    destination: '',
    protocol: 'tcp',
    carrier: 'direct',
    rule: '',
    code: 'UNAUTHORIZED'
  })
  assert.deepEqual(namesOf(asked(inForce(), ROOT)), ['rule-changed', 'policy-changed', 'flow-refused'])
  assert.equal(asked(inForce(), EVE).total, 2)
})

test('nobody else gets any event: an admin of scopes, a stranger, an observer that was removed', () => {
  for (const [policy, signer] of [
    [inForce(), BOB],
    [inForce(), STRANGER],
    [inForce(), undefined],
    [inForce([EVE]), EVE]
  ] as const)
    assert.throws(() => asked(policy, signer), { code: ErrorCode.NotAdmin })
})

test('names choose or leave out, and a name of a later program finds nothing', () => {
  assert.deepEqual(namesOf(asked(inForce(), ROOT, { names: ['flow-refused', 'of-later'] })), ['flow-refused'])
  assert.deepEqual(namesOf(asked(inForce(), ROOT, { names: ['of-later'] })), [])
  assert.deepEqual(namesOf(asked(inForce(), ROOT, { without: ['rule-changed'] })), ['policy-changed', 'flow-refused'])
  assert.deepEqual(namesOf(asked(inForce(), ROOT, { sinceMs: BigInt(Date.now() + 60_000) })), [])
})

test('the newest events fit in one answer, which says how many there are', () => {
  const many = new EventHistory(systemClock)
  const bus = new EventBus(silentLogger)
  many.record(bus)
  for (let number = 0; number < 200; number += 1)
    bus.emit('flow-refused', {
      ...FLOW,
      flowId: `f${number}`,
      source: 'x'.repeat(300),
      reason: '',
      code: ErrorCode.Unauthorized
    })
  const { events: some = [], total } = asked(inForce(), EVE, {}, many)
  assert.equal(total, 200)
  assert.ok(some.length > 50 && some.length < 100, `${some.length}`)
  assert.match(String(some.at(-1)?.fields), /"f199"/)
  assert.ok(some.reduce((sum, { fields = '' }) => sum + fields.length, 0) <= 27 * 1_024)
})
