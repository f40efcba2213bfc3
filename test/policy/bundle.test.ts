import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { CONTEXT, generatePeerKeyPair, parsePattern, rawPublicKey, sign } from '../../src/identity/index.ts'
import {
  addRule,
  type NewRule,
  openBundle,
  type Rule,
  removeRule,
  sealBundle,
  succession
} from '../../src/policy/index.ts'

const admin = generatePeerKeyPair()
const adminPublicKey = rawPublicKey(admin)
const TD = 'example.org'

const draft = (effect: 'allow' | 'deny', source = 'dev.*.*.*', destination = 'dev.web.*.*'): NewRule => ({
  effect,
  source: parsePattern(source),
  destination: parsePattern(destination),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: 'because'
})

const seal = (current: Parameters<typeof sealBundle>[0], rules: readonly Rule[], key = admin) =>
  sealBundle(current, { trustDomain: TD, rules, nowMs: 5 }, bytes => sign(key, CONTEXT.policyBundle, bytes))

const codeOf = (code: string) => (err: unknown) => err instanceof WarrenError && err.code === code

test('a sealed bundle opens to the same rules, one version on', () => {
  const first = openBundle(seal(undefined, addRule(undefined, draft('allow'), 5).rules), adminPublicKey, TD)
  const second = openBundle(seal(first, addRule(first, draft('deny', 'dev.a.b.c'), 6).rules), adminPublicKey, TD)
  assert.equal(first.version, 1n)
  assert.equal(second.version, 2n)
  assert.deepEqual(
    second.rules.map(rule => [rule.id, rule.effect, rule.source.text, rule.destination.text, rule.reason]),
    [
      ['r1', 'allow', 'dev.*.*.*', 'dev.web.*.*', 'because'],
      ['r2', 'deny', 'dev.a.b.c', 'dev.web.*.*', 'because']
    ]
  )
  assert.equal(succession(first, second), 'newer')
  assert.equal(succession(second, first), 'older')
  assert.equal(succession(second, second), 'same')
})

test('two bundles of one version are a conflict', () => {
  const one = openBundle(seal(undefined, addRule(undefined, draft('allow'), 5).rules), adminPublicKey, TD)
  const other = openBundle(seal(undefined, addRule(undefined, draft('deny'), 5).rules), adminPublicKey, TD)
  assert.equal(succession(one, other), 'conflict')
})

test('a bundle of another key or another domain is refused, and no changed bit changes what it says', () => {
  const signed = seal(undefined, [])
  assert.throws(
    () => openBundle(seal(undefined, [], generatePeerKeyPair()), adminPublicKey, TD),
    codeOf(ErrorCode.SignatureInvalid)
  )
  assert.throws(() => openBundle(signed, adminPublicKey, 'other.org'), codeOf(ErrorCode.SignatureInvalid))
  for (let at = 0; at < signed.length; at += 1) {
    const bent = Uint8Array.from(signed)
    bent[at] = bent[at]! ^ 1
    // The envelope around the signed bytes may be written in more than one way; what is signed may not.
    try {
      assert.deepEqual(openBundle(bent, adminPublicKey, TD).sha256, openBundle(signed, adminPublicKey, TD).sha256)
    } catch (err) {
      assert.ok(err instanceof WarrenError, String(err))
    }
  }
})

test('the last word on the same pair replaces the one before, and ids are never reused', () => {
  const first = openBundle(seal(undefined, addRule(undefined, draft('deny'), 5).rules), adminPublicKey, TD)
  const { rules, added } = addRule(first, draft('allow'), 6)
  assert.deepEqual(
    rules.map(rule => rule.id),
    ['r2']
  )
  const second = openBundle(seal(first, rules), adminPublicKey, TD)
  const third = openBundle(seal(second, removeRule(second, added.id)), adminPublicKey, TD)
  assert.equal(addRule(third, draft('allow'), 7).added.id, 'r4')
})

test('a rule for one protocol does not replace the one for all, nor the other way round', () => {
  const all = draft('deny')
  const one: NewRule = { ...draft('allow'), protocols: ['tcp'] }
  for (const [before, after] of [
    [all, one],
    [one, all]
  ] as const) {
    const first = openBundle(seal(undefined, addRule(undefined, before, 5).rules), adminPublicKey, TD)
    const { rules } = addRule(first, after, 6)
    assert.deepEqual(
      rules.map(({ effect }) => effect),
      [before.effect, after.effect]
    )
  }
})

test('removing an unknown rule and a rule that ends before it begins are refused', () => {
  assert.throws(() => removeRule(undefined, 'r9'), codeOf(ErrorCode.NotFound))
  const dated = (notBeforeMs: number, untilMs: number) =>
    addRule(undefined, { ...draft('allow'), notBeforeMs, untilMs }, 5)
  for (const [notBeforeMs, untilMs] of [
    [0, 4],
    [0, 5],
    [20, 10],
    [20, 20]
  ] as const) {
    assert.throws(() => dated(notBeforeMs, untilMs), codeOf(ErrorCode.InvalidArgument))
  }
  assert.equal(dated(20, 21).rules.length, 1)
})
