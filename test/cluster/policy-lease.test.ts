import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import test, { type TestContext } from 'node:test'
import { confirmationOf, PolicyLease, policyDigest, verdictOn } from '../../src/cluster/lease/index.ts'
import { silentLogger, silentMetrics } from '../../src/core/index.ts'
import { EventBus } from '../../src/events/index.ts'
import { generatePeerKeyPair, type PeerKey, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import type { Admin, InForce } from '../../src/policy/index.ts'
import { decode, policyPb } from '../../src/wire/index.ts'

const BOUND_MS = 10_000
const START_MS = 1_700_000_000_000
const trustDomain = 'example.org'

const textOf = (key: KeyObject): PeerKey => peerKeyOf(rawPublicKey(key))
const [ROOT, BOB, OBSERVER, REMOVED, STRANGER] = Array.from({ length: 5 }, generatePeerKeyPair) as [
  KeyObject,
  KeyObject,
  KeyObject,
  KeyObject,
  KeyObject
]
const NEIGHBOUR = textOf(generatePeerKeyPair())

const admin = (key: KeyObject, name: string, role: string, removal?: object): Admin =>
  ({ key: textOf(key), name, role, removal }) as unknown as Admin
const ADMINS = [
  admin(ROOT, 'founder', 'owner'),
  admin(BOB, 'bob', 'admin'),
  admin(OBSERVER, 'olga', 'observer'),
  admin(REMOVED, 'rita', 'owner', {})
]
const inForceOf = (digest: string): InForce => ({
  bundle: undefined,
  admins: ADMINS,
  origins: new Map(),
  digest: digest.repeat(64)
})

/** One host, whose clock and timers the test moves. */
class Host {
  nowMs = 0
  inForce = inForceOf('a')
  readonly events: string[] = []
  readonly published: Uint8Array[] = []
  isAsked = true
  readonly lease: PolicyLease
  readonly #t: TestContext

  constructor(t: TestContext, own?: KeyObject) {
    this.#t = t
    const events = new EventBus(silentLogger)
    events.on('policy-unheard', () => this.events.push('unheard'))
    events.on('policy-heard', ({ admin: name }) => this.events.push(`heard ${name}`))
    this.lease = new PolicyLease({
      trustDomain,
      rootKey: textOf(ROOT),
      boundMs: BOUND_MS,
      rootSigner: undefined,
      isAsked: () => this.isAsked,
      events,
      inForce: () => this.inForce,
      rootSha256: () => 'root',
      own: () => (own === undefined ? undefined : { key: textOf(own), signer: own }),
      transport: { publish: async bytes => this.published.push(bytes) },
      clock: { wallMs: () => START_MS + this.nowMs, monotonicMs: () => this.nowMs },
      log: silentLogger,
      metrics: silentMetrics
    })
    this.lease.start()
    t.after(() => this.lease.stop())
  }

  pass(ms: number): void {
    this.nowMs += ms
    this.#t.mock.timers.tick(ms)
  }

  /** A confirmation as `signer` makes it now, or so long ago. */
  made(signer: KeyObject, { agoMs = 0, author = signer, digest = 'a', domain = trustDomain } = {}): Uint8Array {
    const policy = policyDigest(inForceOf(digest), textOf(ROOT), 'root')
    return confirmationOf({ author: textOf(author), signedAtMs: START_MS + this.nowMs - agoMs, policy }, domain, signer)
  }

  hears(announcement: Uint8Array): string {
    const { confirmation } = decode(policyPb.AnnouncementSchema, announcement, 1_024)
    assert(confirmation !== undefined)
    return this.lease.onGossip(confirmation, NEIGHBOUR)
  }

  get serves(): boolean {
    return this.lease.withheld === undefined
  }
}

function host(t: TestContext, own?: KeyObject): Host {
  t.mock.timers.enable({ apis: ['setInterval'] })
  return new Host(t, own)
}

test('a host serves while an admin confirms its policy, nothing after the bound, and again at the next confirmation', t => {
  const here = host(t)
  for (let round = 0; round < 5; round += 1) {
    here.pass(9_000)
    assert.equal(here.hears(here.made(round % 2 === 0 ? ROOT : BOB)), 'accept')
  }
  assert.deepEqual([here.serves, here.events], [true, []])
  here.pass(BOUND_MS - 1)
  assert.equal(here.serves, true)
  here.pass(1_000)
  assert.deepEqual([here.serves, here.events], [false, ['unheard']])
  assert.deepEqual(here.lease.status, { policyLeaseMs: 10_000n, policyUnheardMs: 10_999n, policyWithheld: true })
  here.hears(here.made(BOB))
  assert.deepEqual([here.serves, here.events], [true, ['unheard', 'heard bob']])
})

test('no member keeps a host serving: a stranger, an observer, a removed admin, a forgery, another domain', t => {
  const here = host(t)
  here.pass(5_000)
  assert.equal(here.hears(here.made(STRANGER)), 'ignore')
  assert.equal(here.hears(here.made(OBSERVER)), 'ignore')
  assert.equal(here.hears(here.made(REMOVED)), 'ignore')
  assert.equal(here.hears(here.made(STRANGER, { author: ROOT })), 'reject')
  assert.throws(() => here.hears(here.made(ROOT, { domain: 'example.net' })), { code: 'MESSAGE_MALFORMED' })
  here.pass(5_000)
  assert.equal(here.serves, false)
})

test('a recorded confirmation counts once, and one that was held back for longer than the bound never', t => {
  const here = host(t)
  const recorded = here.made(ROOT)
  const heldBack = here.made(BOB)
  assert.equal(here.hears(recorded), 'accept')
  here.pass(9_000)
  assert.equal(here.hears(recorded), 'ignore')
  here.pass(2_000)
  // Others may have a longer bound.
  assert.equal(here.hears(heldBack), 'accept')
  assert.equal(here.serves, false)
  here.pass(30_000)
  assert.equal(here.hears(heldBack), 'ignore')
  assert.equal(here.hears(here.made(ROOT, { agoMs: -31_000 })), 'ignore')
  assert.equal(here.serves, false)
})

test('an admin who has another policy confirms nothing, until this host has it too', t => {
  const here = host(t)
  here.pass(9_000)
  assert.equal(here.hears(here.made(ROOT, { digest: 'b' })), 'accept')
  here.pass(1_500)
  assert.equal(here.serves, false)
  here.inForce = inForceOf('b')
  here.pass(500)
  assert.deepEqual([here.serves, here.events], [true, ['unheard', 'heard founder']])
})

test('what a removed root signs changes nothing that is confirmed', () => {
  const removed: InForce = { ...inForceOf('a'), admins: [admin(ROOT, 'founder', 'owner', {})] }
  assert.equal(policyDigest(removed, textOf(ROOT), 'one'), policyDigest(removed, textOf(ROOT), 'two'))
  assert.notEqual(policyDigest(inForceOf('a'), textOf(ROOT), 'one'), policyDigest(inForceOf('a'), textOf(ROOT), 'two'))
})

test('the host of an admin always serves, and confirms only while a member has a bound', t => {
  const here = host(t, BOB)
  here.isAsked = false
  here.pass(60_000)
  assert.deepEqual([here.serves, here.events, here.published.length], [true, [], 0])
  here.isAsked = true
  here.pass(3_000)
  here.pass(3_000)
  assert.equal(here.published.length, 2)
  const other = new Host(t)
  other.nowMs = here.nowMs
  assert.deepEqual(
    here.published.map(bytes => other.hears(bytes)),
    ['accept', 'accept']
  )
})

test('the verdict on a confirmation needs nothing but facts', () => {
  const facts = { inForce: inForceOf('a'), policy: 'p', lastSignedAtMs: 5, boundMs: BOUND_MS, wallMs: 20_000 }
  const one = { author: textOf(BOB), signedAtMs: 15_000, policy: 'p' }
  assert.equal(verdictOn(one, facts), 'confirms')
  assert.equal(verdictOn({ ...one, policy: 'q' }, facts), 'other-policy')
  assert.equal(verdictOn({ ...one, signedAtMs: 9_999 }, facts), 'out-of-time')
  assert.equal(verdictOn({ ...one, signedAtMs: 5 }, facts), 'worthless')
  assert.equal(verdictOn({ ...one, author: textOf(STRANGER) }, facts), 'worthless')
})
