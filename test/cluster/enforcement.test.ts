import assert from 'node:assert/strict'
import test from 'node:test'
import { Enforcement, type EnforcementDeps } from '../../src/cluster/enforcement.ts'
import type { EnforcementOutcome } from '../../src/cluster/receipts/index.ts'
import { ErrorCode, type LogFields, silentLogger } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import { type PeerKey, parsePeerKey } from '../../src/identity/index.ts'

const PEER: PeerKey = parsePeerKey('12D3KooWDejJzBpvELauH69R269e6pUSp46CarVDGmVrTtQDiSQw')
const RECORD = { spiffeId: 'spiffe://example.org/dev/web/site/default/a', registrationId: 'ab', uid: 1_000 }

interface Setup {
  readonly events: EventBus
  /** What was done, in order. */
  readonly done: string[]
  readonly errors: LogFields[]
  /** What was noted for receipts. */
  readonly outcomes: EnforcementOutcome[]
}

/** Enforcement over collaborators that note what they are asked; the one named `failing` throws. */
function enforced(failing?: string): Setup {
  const done: string[] = []
  const errors: LogFields[] = []
  const outcomes: EnforcementOutcome[] = []
  const note = (what: string): void => {
    done.push(what)
    if (what === failing) throw new Error(`${what} fails`)
  }
  const log = { ...silentLogger, error: (_message: string, fields: LogFields = {}) => errors.push(fields) }
  const events = new EventBus(log)
  const deps: EnforcementDeps = {
    events,
    proxy: {
      reevaluate: () => note('cut flows'),
      countCuts: () => () => 3,
      registrationEnded: (_id, _reason, code) => note(`end flows with ${code}`)
    },
    evictions: { carryOut: () => note('carry out evictions') },
    workloads: { review: async () => note('review registrations') },
    applied: { begin: () => outcome => outcomes.push(outcome) },
    registry: { verifyOwners: () => note('evaluate owners'), delete: () => note('delete record') },
    disconnect: () => note('disconnect'),
    health: { remove: () => note('stop health checks') },
    svids: [{ remove: () => note('drop certificate') }, { remove: () => note('drop exported certificate') }],
    trustChanged: () => note('renew certificates'),
    announce: () => note('announce'),
    log
  }
  new Enforcement(deps).start()
  return { events, done, errors, outcomes }
}

const POLICY_ORDER = ['cut flows', 'carry out evictions', 'review registrations', 'announce']

test('a change of policy cuts flows first, while the records that name them are there, and is announced last', () => {
  const { events, done } = enforced()
  events.emit('policy-changed', { version: 2n, reason: 'policy version 2' })
  assert.deepEqual(done, POLICY_ORDER)
})

test('a change of trust cuts flows, then evaluates owners, closes connections and says so, and renews last', () => {
  const { events, done } = enforced()
  events.emit('trust-changed', { version: 2n, reason: 'trust bundle version 2', gone: [PEER, PEER] })
  const expected = ['cut flows', 'evaluate owners', 'disconnect', 'disconnect', 'announce', 'renew certificates']
  assert.deepEqual(done, expected)
})

test('a policy that is not confirmed in time cuts flows, and leaves all else', () => {
  const { events, done } = enforced()
  events.emit('policy-unheard', { boundMs: 10_000 })
  assert.deepEqual(done, ['cut flows'])
})

test('a record that goes cuts flows; one that comes costs no look at them', () => {
  const { events, done } = enforced()
  const change = { peer: PEER, machine: 'b', cause: 'set', added: 1, removed: 0 }
  events.emit('registry-changed', change)
  assert.deepEqual(done, [])
  events.emit('registry-changed', { ...change, removed: 1 })
  assert.deepEqual(done, ['cut flows'])
})

test('the end of a registration leaves nothing of it here before the others learn of it', () => {
  const { events, done } = enforced()
  events.emit('registration-ended', { ...RECORD, reason: 'revoked', code: ErrorCode.InvalidSource })
  assert.deepEqual(done, [
    'stop health checks',
    `end flows with ${ErrorCode.InvalidSource}`,
    'drop certificate',
    'drop exported certificate',
    'delete record'
  ])
})

for (const failing of POLICY_ORDER) {
  test(`whatever fails, everything else of a change of policy happens, it is logged, and no receipt says otherwise: ${failing}`, async () => {
    const { events, done, errors, outcomes } = enforced(failing)
    events.emit('policy-changed', { version: 2n, reason: 'policy version 2' })
    assert.deepEqual(done, POLICY_ORDER)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(errors.length, 1)
    assert.equal(outcomes.length, 1)
    assert.deepEqual([outcomes[0]?.flowsCut, outcomes[0]?.failed.length], [3, 1])
  })
}

test('whoever subscribes after enforcement hears of a change when it has taken effect', () => {
  const { events, done } = enforced()
  events.on('policy-changed', () => done.push('audit'))
  events.emit('policy-changed', { version: 2n, reason: 'policy version 2' })
  assert.deepEqual(done, [...POLICY_ORDER, 'audit'])
})
