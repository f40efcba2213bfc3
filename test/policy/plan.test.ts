import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatPolicyFile, parsePolicyFile } from '../../src/config/policy-file/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  parseAddress,
  parsePattern,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import {
  type Bundle,
  documentFrom,
  draftBundle,
  evaluate,
  type NewEntry,
  type NewRule,
  openBundle,
  type PolicyDocument,
  planOf,
  sealBundle
} from '../../src/policy/index.ts'
import { adminPb, apiPb, create, decode, policyPb } from '../../src/wire/index.ts'

const NOW = 1_000_000
const TD = 'example.org'

const rule = (
  effect: NewRule['effect'],
  source: string,
  destination: string,
  more: Partial<NewRule> = {}
): NewRule => ({
  effect,
  source: parsePattern(source),
  destination: parsePattern(destination),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: '',
  ...more
})

const entry = (grants: string, uid: number): NewEntry => ({
  machine: undefined,
  uid,
  user: undefined,
  gid: undefined,
  group: undefined,
  exePath: undefined,
  exeSha256: undefined,
  systemdUnit: undefined,
  cgroup: undefined,
  grants: parsePattern(grants),
  reason: ''
})

const next = (current: Bundle | undefined, document: PolicyDocument, prune = false): Bundle =>
  draftBundle(current, { ...planOf(current, document, { prune, nowMs: NOW }).content, trustDomain: TD, nowMs: NOW })
const kinds = (current: Bundle | undefined, document: PolicyDocument, prune = false) =>
  planOf(current, document, { prune, nowMs: NOW }).changes.map(({ kind, subject, id }) => `${kind} ${subject} ${id}`)

const ALLOW = rule('allow', 'dev.*.*.*', 'dev.web.*.*')
const DENY = rule('deny', 'dev.guest.*.*', 'dev.*.*.*')

test('what stays keeps its id, what changes gets another, and what is not named is removed only if it is asked for', () => {
  const one = next(undefined, { rules: [ALLOW, DENY], entries: [entry('dev.*.*.*', 5)] })
  assert.deepEqual(
    [...one.rules, ...one.entries].map(({ id }) => id),
    ['r1-1', 'r1-2', 'e1-1']
  )
  assert.deepEqual(planOf(one, { rules: [ALLOW, DENY] }, { prune: true, nowMs: NOW }).content, {})
  const changed = { rules: [{ ...ALLOW, owner: 'x' }] }
  assert.deepEqual(kinds(one, changed), ['change rule r1-1', 'kept rule r1-2'])
  assert.deepEqual(kinds(one, changed, true), ['change rule r1-1', 'remove rule r1-2'])
  const two = next(one, changed, true)
  assert.deepEqual(
    two.rules.map(({ id, owner }) => [id, owner]),
    [['r2-1', 'x']]
  )
  assert.equal(two.entries.length, 1, 'a list that the document does not have is not touched')
  assert.deepEqual(kinds(two, { entries: [] }, true), ['remove entry e1-1'])
})

test('the effect of a pair is replaced, as by the commands, and strict is one of the changes', () => {
  const one = next(undefined, { rules: [ALLOW] })
  const denied = { rules: [{ ...ALLOW, effect: 'deny' as const }], strict: true }
  const { changes, content } = planOf(one, denied, { prune: false, nowMs: NOW })
  assert.deepEqual(
    changes.map(({ kind, text, difference }) => [kind, text, difference]),
    [
      ['change', 'deny dev.*.*.* -> dev.web.*.*', 'effect allow → deny'],
      ['change', 'strict on', '']
    ]
  )
  assert.equal(content.rules?.length, 1)
  assert.equal(content.strict, true)
})

test('a rule that has ended is left out, and removed if it is there', () => {
  const later = rule('allow', 'dev.*.*.*', 'dev.a.*.*', { untilMs: NOW + 5 })
  const one = next(undefined, { rules: [later] })
  const plan = planOf(one, { rules: [later] }, { prune: false, nowMs: NOW + 5 })
  assert.deepEqual(
    plan.changes.map(({ kind }) => kind),
    ['remove', 'ended']
  )
  assert.deepEqual(plan.content.rules, [])
  assert.deepEqual(planOf(undefined, { rules: [later] }, { prune: false, nowMs: NOW + 5 }).content, {})
})

test('a document with a fault changes nothing', () => {
  for (const document of [
    { rules: [ALLOW, { ...ALLOW, reason: 'twice' }] },
    { rules: [{ ...DENY, maxConnects: 5 }] },
    { rules: [{ ...ALLOW, effect: 'audit' as const, maxRateBytes: 5_000 }] },
    { rules: [{ ...ALLOW, owner: 'x'.repeat(129) }] },
    { entries: [{ ...entry('dev.*.*.*', 5), uid: undefined }] }
  ]) {
    assert.throws(
      () => planOf(undefined, document, { prune: false, nowMs: NOW }),
      (err: unknown) => WarrenError.is(err, ErrorCode.InvalidArgument) && / of the document: /.test(err.message)
    )
  }
})

const component = fc.constantFrom('*', 'dev', 'a', '{a,b}')
const pattern = fc.tuple(component, component, component, component).map(parts => parts.join('.'))
const people = { owner: fc.constantFrom('', 'ops', 'a: b #c'), reason: fc.constantFrom('', 'why?', '"x" \'y\' → {z}') }
const protocols = fc.constantFrom<apiPb.Protocol[]>([], [apiPb.Protocol.TCP], [apiPb.Protocol.UDP])
const gateways = fc.constantFrom<string[]>([], ['db.example.net:5432'], ['a:1', '[2001:db8::7]:80'])
const dnsNames = fc.constantFrom<string[]>([], ['db.example.net'], ['*.example.net', 'localhost'])
const anyPolicy = fc.record({
  strict: fc.boolean(),
  rules: fc.uniqueArray(
    fc.record({
      effect: fc.constantFrom('allow', 'deny', 'audit'),
      source: pattern,
      destination: pattern,
      protocols,
      untilMs: fc.constantFrom(0n, 4_000_000_000_123n),
      ...people
    }),
    { selector: ({ source, destination, protocols }) => `${source} ${destination} ${protocols}`, maxLength: 6 }
  ),
  entries: fc.uniqueArray(fc.record({ grants: pattern, uid: fc.constantFrom(0, 7), gateways, dnsNames, ...people }), {
    selector: ({ grants, uid }) => `${grants} ${uid}`,
    maxLength: 4
  }),
  invariants: fc.uniqueArray(fc.record({ source: pattern, destination: pattern, protocols, ...people }), {
    selector: ({ source, destination, protocols }) => `${source} ${destination} ${protocols}`,
    maxLength: 4
  })
})

test('an exported policy is read as the same policy', () => {
  fc.assert(
    fc.property(anyPolicy, policy => {
      const message = create(adminPb.GetPolicyResponseSchema, policy)
      const { document, faults } = parsePolicyFile('policy.yaml', formatPolicyFile(message))
      assert.deepEqual(faults, [])
      const bundle = next(undefined, documentFrom(document))
      assert.deepEqual(planOf(bundle, documentFrom(document), { prune: true, nowMs: NOW }).changes, [])
      const expected = create(adminPb.PolicyDocumentSchema, {
        rules: { rules: message.rules },
        entries: { entries: message.entries },
        invariants: { invariants: message.invariants },
        strict: message.strict
      })
      assert.deepEqual(documentFrom(document), documentFrom(expected))
    })
  )
})

test('an audit rule is an allow rule to an agent that does not know it, which decides the same about every flow', () => {
  const admin = generatePeerKeyPair()
  const rules = [rule('audit', 'dev.*.*.*', 'dev.web.*.*'), rule('deny', 'dev.guest.*.*', 'dev.web.*.*')]
  const { content } = planOf(undefined, { rules }, { prune: false, nowMs: NOW })
  const signed = sealBundle(undefined, { ...content, trustDomain: TD, nowMs: NOW }, bytes =>
    sign(admin, CONTEXT.policyBundle, bytes)
  )
  const { bundle: bytes } = decode(policyPb.SignedBundleSchema, signed, signed.length)
  const sent = decode(policyPb.BundleSchema, bytes, bytes.length)
  assert.deepEqual(
    sent.rules.map(({ effect, audit }) => [effect, audit]),
    [
      [policyPb.Effect.ALLOW, true],
      [policyPb.Effect.DENY, false]
    ]
  )
  const known = openBundle(signed, rawPublicKey(admin), TD)
  const unknown: Bundle = {
    ...known,
    rules: known.rules.map(one => (one.effect === 'audit' ? { ...one, effect: 'allow' } : one))
  }
  const addresses = ['dev.shop.a.r.m', 'dev.guest.a.r.m', 'dev.web.a.r.m', 'prod.web.a.r.m'].map(parseAddress)
  for (const source of addresses) {
    for (const destination of addresses) {
      for (const whitelist of [[], [parsePattern('*.*.*.*')]]) {
        const question = { source, destination, protocol: 'tcp', whitelist } as const
        assert.equal(evaluate(known, question, NOW).allowed, evaluate(unknown, question, NOW).allowed)
      }
    }
  }
})

test('an audit rule decides only where nothing else allows, and says why it would be refused', () => {
  const audited = rule('audit', 'dev.*.*.*', 'dev.web.*.*')
  const of = (rules: NewRule[]): Bundle => next(undefined, { rules })
  const question = {
    source: parseAddress('dev.shop.a.r.m'),
    destination: parseAddress('dev.web.a.r.m'),
    protocol: 'tcp'
  } as const
  const ask = (rules: NewRule[], whitelist: string[] = []) =>
    evaluate(of(rules), { ...question, whitelist: whitelist.map(parsePattern) }, NOW)
  const { allowed, ground, rule: id, text } = ask([audited])
  assert.deepEqual([allowed, ground, id], [true, 'AUDIT', 'r1-1'])
  assert.match(text, /audit dev\.\S+ \S+ lets it pass; without it: no rule and no whitelist entry allows it/)
  assert.equal(ask([audited, rule('allow', 'dev.shop.*.*', 'dev.*.*.*')]).ground, 'RULE')
  assert.equal(ask([audited], ['dev.shop.*.*']).ground, 'WHITELIST')
  assert.equal(ask([audited, rule('deny', 'dev.shop.*.*', 'dev.*.*.*')]).allowed, false)
})
