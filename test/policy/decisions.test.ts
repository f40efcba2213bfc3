import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Protocol } from '../../src/core/index.ts'
import { type Address, parseAddress, parsePattern } from '../../src/identity/index.ts'
import { type Bundle, Decisions, evaluate, type Rule } from '../../src/policy/index.ts'

const ADDRESSES: readonly Address[] = ['dev.a.x.d.m', 'dev.b.x.d.m', 'prod.a.x.d.m'].map(parseAddress)
const PATTERNS = ['dev.*.*.*', 'dev.a.*.*', '{dev,prod}.*.*.*', '*.*.*.*'].map(parsePattern)
const WHITELISTS = [[], [parsePattern('dev.a.*.*')]]
const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp']
const LAST_MS = 6

const rule = fc.record({
  id: fc.constantFrom('r1', 'r2', 'r3'),
  effect: fc.constantFrom<Rule['effect']>('allow', 'deny'),
  source: fc.constantFrom(...PATTERNS),
  destination: fc.constantFrom(...PATTERNS),
  protocols: fc.subarray([...PROTOCOLS]),
  notBeforeMs: fc.integer({ min: 0, max: LAST_MS }),
  untilMs: fc.integer({ min: 0, max: LAST_MS }),
  reason: fc.constant(''),
  createdAtMs: fc.constant(0),
  maxConnects: fc.constantFrom(undefined, 5)
})
const revocation = fc.record({
  id: fc.constant('v1'),
  machine: fc.constant(undefined),
  beforeMs: fc.constant(0),
  peers: fc.constant([]),
  keys: fc.constant([]),
  pattern: fc.constantFrom(...PATTERNS),
  reason: fc.constant(''),
  createdAtMs: fc.constant(0)
})
const bundle: fc.Arbitrary<Bundle> = fc.record({
  rules: fc.array(rule, { maxLength: 4 }),
  revocations: fc.array(revocation, { maxLength: 1 }),
  entries: fc.constant([]),
  invariants: fc.constant([]),
  strict: fc.constant(false),
  trustDomain: fc.constant('example.org'),
  version: fc.bigInt({ min: 1n, max: 9n }),
  sha256: fc.constant(''),
  issuedAtMs: fc.constant(0),
  isBeginning: fc.constant(false),
  signed: fc.constant(new Uint8Array())
})
const question = fc.record({
  policy: fc.nat(2),
  nowMs: fc.integer({ min: 0, max: LAST_MS }),
  source: fc.constantFrom(...ADDRESSES),
  destination: fc.constantFrom(...ADDRESSES),
  protocol: fc.constantFrom(...PROTOCOLS),
  whitelist: fc.constantFrom(...WHITELISTS)
})

test('an answer is never another one than that of an evaluation of this moment, whatever was asked before', () => {
  fc.assert(
    fc.property(fc.array(bundle, { maxLength: 2 }), fc.array(question, { maxLength: 40 }), (bundles, questions) => {
      const decisions = new Decisions()
      for (const { policy, nowMs, ...asked } of questions) {
        assert.deepEqual(decisions.decide(bundles[policy], asked, nowMs), evaluate(bundles[policy], asked, nowMs))
      }
    })
  )
})
