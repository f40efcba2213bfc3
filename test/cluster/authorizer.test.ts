import assert from 'node:assert/strict'
import test from 'node:test'
import { Authorizer, Routing } from '../../src/cluster/index.ts'
import { parseAddress, parsePattern, type Revocation } from '../../src/identity/index.ts'
import type { Bundle, Decision, Rule } from '../../src/policy/index.ts'
import { idOf, mesh, type Node, recordOf, START_MS, Time } from '../registry/world.ts'

const SOURCE = parseAddress('test.web.client.default.a')

function rule(more: Partial<Rule> = {}): Rule {
  return {
    id: 'r1',
    effect: 'allow',
    source: parsePattern('test.*.*.*'),
    destination: parsePattern('dev.*.*.*'),
    protocols: [],
    notBeforeMs: 0,
    untilMs: 0,
    reason: '',
    createdAtMs: 0,
    ...more
  }
}

function bundle(version: bigint, rules: readonly Rule[], revocations: readonly Revocation[] = []): Bundle {
  const content = { rules, entries: [], strict: false, revocations, invariants: [] }
  return {
    ...content,
    trustDomain: 'example.org',
    version,
    sha256: '',
    issuedAtMs: 0,
    isBeginning: false,
    signed: new Uint8Array()
  }
}

/** Agent a, whose workload asks for site at b: allowed by version 1 of the policy, and asked once. */
class Lab {
  readonly time = new Time()
  readonly here: Node
  readonly there: Node
  readonly authorizer: Authorizer
  readonly lease: { withheld: string | undefined } = { withheld: undefined }
  readonly sets = { lease: this.lease }
  bundle = bundle(1n, [rule()])
  readonly first: Decision

  constructor() {
    const [here, there] = mesh(this.time, 'a', 'b')
    assert(here !== undefined && there !== undefined)
    this.here = here
    this.there = there
    there.put('site')
    this.pull()
    this.authorizer = new Authorizer(this, new Routing(here.state), { wallMs: () => this.time.wallMs })
    this.first = this.ask()
    assert.equal(this.first.allowed, true)
  }

  get version(): bigint {
    return this.bundle.version
  }

  pull(): void {
    this.here.pull(this.there)
  }

  ask(): Decision {
    return this.authorizer.authorize({
      source: SOURCE,
      // As another agent names it: parsed anew for each connection.
      destination: parseAddress('dev.web.site.default.b'),
      destinationRegistrationId: idOf('b', 'site'),
      protocol: 'tcp'
    })
  }
}

test('the next connection of a pair is not evaluated again while nothing has changed', () => {
  const lab = new Lab()
  assert.equal(lab.ask(), lab.first)
})

test('the next connection of a pair is refused when the rule was removed in between', () => {
  const lab = new Lab()
  lab.bundle = bundle(2n, [])
  assert.deepEqual([lab.ask().allowed, lab.ask().policyVersion], [false, 2n])
})

test('the next connection of a pair is refused when the source or the destination was revoked in between', () => {
  for (const pattern of ['test.web.client.default', 'dev.web.site.default']) {
    const lab = new Lab()
    const revocation: Revocation = {
      id: 'v1',
      machine: undefined,
      beforeMs: 0,
      peers: [],
      keys: [],
      pattern: parsePattern(pattern),
      reason: '',
      createdAtMs: 0
    }
    lab.bundle = bundle(2n, [rule()], [revocation])
    assert.deepEqual([lab.ask().allowed, lab.ask().ground], [false, 'REVOKED'])
  }
})

test('the next connection of a pair is refused when the rule ended by its date in between, and allowed once one begins', () => {
  const lab = new Lab()
  lab.bundle = bundle(2n, [rule({ untilMs: START_MS + 1_000 }), rule({ id: 'r2', notBeforeMs: START_MS + 5_000 })])
  assert.equal(lab.ask().rule, 'r1')
  lab.time.pass(999)
  assert.equal(lab.ask().rule, 'r1')
  lab.time.pass(1)
  assert.equal(lab.ask().allowed, false)
  lab.time.pass(4_000)
  assert.equal(lab.ask().rule, 'r2')
  // An operator may take the time of the host's clock as it is.
  lab.time.pass(-4_000)
  assert.equal(lab.ask().allowed, false)
})

test('the next connection of a pair is refused when the destination was deregistered in between', () => {
  const lab = new Lab()
  lab.there.delete('site')
  lab.pull()
  assert.deepEqual([lab.ask().allowed, lab.ask().ground], [false, 'ERROR'])
})

test('the next connection of a pair is refused when the host of the destination was evicted in between', () => {
  const lab = new Lab()
  lab.here.revoked.add(lab.there.peer)
  lab.here.step({ type: 'trust-changed' })
  assert.deepEqual([lab.ask().allowed, lab.ask().ground], [false, 'ERROR'])
})

test('the next connection of a pair is refused when the destination narrowed its whitelist in between', () => {
  const lab = new Lab()
  const ask = (): Decision =>
    lab.authorizer.authorize({
      source: parseAddress('dev.web.client.default.a'),
      destination: parseAddress('dev.web.site.default.b'),
      destinationRegistrationId: idOf('b', 'site'),
      protocol: 'tcp'
    })
  assert.equal(ask().ground, 'WHITELIST')
  lab.there.step({
    type: 'local-change',
    puts: [recordOf('b', 'site', { whitelist: [parsePattern('dev.db.*.*')] })],
    deletes: []
  })
  lab.pull()
  assert.deepEqual([ask().allowed, ask().ground], [false, 'DEFAULT'])
})

test('a host whose policy is not confirmed denies all, and what it denied then is not remembered', () => {
  const lab = new Lab()
  lab.lease.withheld = 'not confirmed'
  const { allowed, ground, text } = lab.ask()
  assert.deepEqual([allowed, ground, text], [false, 'LEASE', 'not confirmed'])
  lab.lease.withheld = undefined
  assert.equal(lab.ask().allowed, true)
})
