import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MessageInitShape } from '@bufbuild/protobuf'
import fc from 'fast-check'
import type { ProcessFacts } from '../../src/attest/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  parseAddress,
  parsePattern,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import { MAX_REVOCATIONS } from '../../src/policy/bundle.ts'
import {
  addEntry,
  addRevocation,
  addRule,
  type Bundle,
  type Content,
  type Entry,
  evaluate,
  grantingEntry,
  type NewEntry,
  type NewRule,
  openBundle,
  removeEntry,
  removeRevocation,
  sealBundle,
  wantsExecutable,
  wantsHash,
  whyNotGranted
} from '../../src/policy/index.ts'
import { create, decode, policyPb, toBinary } from '../../src/wire/index.ts'

const admin = generatePeerKeyPair()
const TD = 'example.org'
const NOW = 1_500
const WEB = parseAddress('dev.web.nginx.default.a')
const SHA = 'ab'.repeat(32)

const signed = (bytes: Uint8Array) => sign(admin, CONTEXT.policyBundle, bytes)
const next = (current: Bundle | undefined, content: Partial<Content>): Bundle =>
  openBundle(sealBundle(current, { ...content, trustDomain: TD, nowMs: NOW }, signed), rawPublicKey(admin), TD)
const codeOf = (code: string) => (err: unknown) => err instanceof WarrenError && err.code === code

const draft = (selectors: Partial<NewEntry>, grants = 'dev.web.*.*'): NewEntry => ({
  machine: undefined,
  uid: undefined,
  user: undefined,
  gid: undefined,
  group: undefined,
  exePath: undefined,
  exeSha256: undefined,
  systemdUnit: undefined,
  cgroup: undefined,
  grants: parsePattern(grants),
  reason: '',
  ...selectors
})
const entry = (selectors: Partial<NewEntry>, grants?: string): Entry => ({
  ...draft(selectors, grants),
  id: 'e1',
  createdAtMs: 0
})

const allowAll: NewRule = {
  effect: 'allow',
  source: parsePattern('dev.*.*.*'),
  destination: parsePattern('dev.*.*.*'),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: ''
}

/** A bundle that the admin key signed, whatever it says. */
function signedBundle(content: MessageInitShape<typeof policyPb.BundleSchema>): Uint8Array {
  const message = create(policyPb.BundleSchema, { trustDomain: TD, version: 1n, ...content } as typeof content)
  const bundle = toBinary(policyPb.BundleSchema, message)
  const envelope = create(policyPb.SignedBundleSchema, { bundle, signature: signed(bundle) })
  return toBinary(policyPb.SignedBundleSchema, envelope)
}

const facts: ProcessFacts = {
  uid: 33,
  users: ['www-data', 'web'],
  gids: [33, 1_000],
  groups: ['www-data', 'deploy'],
  exePath: undefined,
  exeSha256: undefined,
  systemdUnit: 'nginx.service',
  cgroup: '/system.slice/nginx.service'
}

test('the strict mode and the rules stay as they are when something else changes', () => {
  const { rules } = addRule(undefined, allowAll, NOW)
  const strict = next(next(undefined, { rules }), { strict: true })
  const later = next(strict, { revocations: addRevocation(strict, { machine: 'b', reason: '' }, NOW).revocations })
  assert.equal(later.strict, true)
  assert.deepEqual(later.rules, rules)
})

test('a bundle holds as much of each kind as it may, and one with more is unusable', () => {
  const revocations = (count: number) =>
    Array.from({ length: count }, (_, at) => create(policyPb.RevocationSchema, { id: `x${at}`, machine: 'a' }))
  const open = (count: number) =>
    openBundle(signedBundle({ revocations: revocations(count) }), rawPublicKey(admin), TD).revocations.length
  assert.equal(open(MAX_REVOCATIONS), MAX_REVOCATIONS)
  assert.throws(() => open(MAX_REVOCATIONS + 1), codeOf(ErrorCode.MessageMalformed))
})

test('rules, entries, strict and revocations travel together, and what a change leaves out stays', () => {
  const { rules } = addRule(undefined, allowAll, NOW)
  const one = next(undefined, { rules })
  const all = {
    machine: 'a',
    uid: 0,
    user: 'u',
    gid: 0,
    group: 'g',
    exePath: '/bin/x',
    exeSha256: SHA,
    systemdUnit: 'x.service',
    cgroup: '/x',
    gateways: ['db.example.net:5432', '[2001:db8::7]:80'],
    dnsNames: ['db.example.net', '*.example.org']
  }
  const two = next(one, { entries: addEntry(one, draft(all), NOW).entries })
  const peer = peerKeyOf(rawPublicKey(admin))
  const what = { machine: 'b', peers: [peer], keys: [SHA], reason: 'stolen' }
  const three = next(two, { revocations: addRevocation(two, what, NOW).revocations })
  const four = next(three, { strict: true })
  assert.deepEqual(four.rules, one.rules)
  assert.deepEqual(
    four.entries.map(({ grants, ...rest }) => ({ ...rest, grants: grants.text })),
    [{ ...all, id: 'e2', grants: 'dev.web.*.*', reason: '', createdAtMs: NOW }]
  )
  assert.deepEqual(four.revocations, [{ ...what, id: 'x3', beforeMs: 1_000, pattern: undefined, createdAtMs: NOW }])
  assert.equal(four.strict, true)
  assert.deepEqual([removeEntry(four, 'e2'), removeRevocation(four, 'x3')], [[], []])
  assert.throws(() => removeEntry(four, 'x3'), codeOf(ErrorCode.NotFound))
})

test('a part that is malformed makes the whole bundle unusable', () => {
  const pair = { source: 'dev.*.*.*', destination: 'dev.*.*.*' }
  const { ALLOW, DENY } = policyPb.Effect
  // Of a later version, say: it may be a denial.
  const unknown = { effect: 7 as policyPb.Effect, protocol: 7 as policyPb.Protocol }
  const broken: Array<Omit<MessageInitShape<typeof policyPb.BundleSchema>, '$typeName'>> = [
    { version: 0n },
    { rules: [create(policyPb.RuleSchema, { id: 'r1', ...pair })] },
    { rules: [create(policyPb.RuleSchema, { id: 'r1', ...pair, effect: unknown.effect })] },
    { rules: [create(policyPb.RuleSchema, { id: 'r1', ...pair, effect: DENY, protocols: [unknown.protocol] })] },
    { rules: [ALLOW, DENY].map(effect => create(policyPb.RuleSchema, { id: 'r1', ...pair, effect })) },
    { entries: [create(policyPb.EntrySchema, { id: 'e1', grants: 'dev.*.*.*' })] },
    { entries: [create(policyPb.EntrySchema, { id: 'e1', grants: 'nonsense', uid: 1 })] },
    { entries: [create(policyPb.EntrySchema, { id: 'e1', grants: 'dev.*.*.*', exePath: '/a/../b' })] },
    { entries: [create(policyPb.EntrySchema, { id: 'e1', grants: 'dev.*.*.*', exeSha256: new Uint8Array(5) })] },
    { entries: [create(policyPb.EntrySchema, { id: '', grants: 'dev.*.*.*', uid: 1 })] },
    { revocations: [create(policyPb.RevocationSchema, { id: 'x1' })] },
    { revocations: [create(policyPb.RevocationSchema, { id: 'x1', machine: 'a.b' })] },
    { revocations: [create(policyPb.RevocationSchema, { id: 'x1', peerKeys: [new Uint8Array(31)] })] },
    { revocations: [create(policyPb.RevocationSchema, { id: 'x1', keySha256: [new Uint8Array(31)] })] },
    { revocations: ['x1', 'x1'].map(id => create(policyPb.RevocationSchema, { id, machine: 'a' })) }
  ]
  for (const content of broken) {
    const bytes = signedBundle(content)
    assert.throws(() => openBundle(bytes, rawPublicKey(admin), TD), codeOf(ErrorCode.MessageMalformed))
  }
})

test('an entry without a property of a process would grant to everybody, and is refused', () => {
  assert.throws(() => addEntry(undefined, draft({ machine: 'a' }), NOW), codeOf(ErrorCode.InvalidArgument))
  const gateways = [
    ['localhost:1'],
    ['DB:1'],
    ['db'],
    ['db:0'],
    Array.from({ length: 17 }, (_, at) => `db${at}:1`)
  ].map(names => ({ uid: 1, gateways: names }))
  const dnsNames = [
    ['DB'],
    ['*'],
    ['a..b'],
    ['*.*.a'],
    ['10.0.0.1'],
    ['a_b'],
    Array.from({ length: 17 }, (_, at) => `db${at}`)
  ]
  for (const bad of [
    { exePath: 'nginx' },
    { cgroup: '/a/../b' },
    { systemdUnit: 'nginx' },
    { exeSha256: 'ab' },
    ...gateways,
    ...dnsNames.map(names => ({ uid: 1, dnsNames: names }))
  ]) {
    assert.throws(() => addEntry(undefined, draft(bad), NOW), codeOf(ErrorCode.InvalidArgument))
  }
})

test('an entry grants only to a process that has everything it names', () => {
  const met: Array<Partial<NewEntry>> = [
    { uid: 33 },
    { user: 'web' },
    { gid: 1_000 },
    { group: 'deploy' },
    { systemdUnit: 'nginx.service' },
    { cgroup: '/system.slice' },
    { cgroup: '/system.slice/nginx.service' },
    { machine: 'a', uid: 33 }
  ]
  const unmet: Array<Partial<NewEntry>> = [
    { uid: 34 },
    { user: 'root' },
    { gid: 0 },
    { group: 'root' },
    { systemdUnit: 'nginx2.service' },
    { cgroup: '/system.slice/nginx' },
    { machine: 'b', uid: 33 },
    { exePath: '/usr/sbin/nginx' },
    { exeSha256: SHA }
  ]
  for (const selectors of met) assert.ok(grantingEntry([entry(selectors)], WEB, facts), JSON.stringify(selectors))
  for (const selectors of unmet) assert.ok(!grantingEntry([entry(selectors)], WEB, facts), JSON.stringify(selectors))
  fc.assert(
    fc.property(fc.subarray(met), fc.subarray(unmet), (some, others) => {
      const merged = Object.assign({}, ...some, ...others) as Partial<NewEntry>
      if (Object.keys(merged).every(name => name === 'machine')) return
      const grants = grantingEntry([entry(merged)], WEB, facts) !== undefined
      const each = Object.entries(merged).every(([name, value]) =>
        met.some(one => one[name as keyof NewEntry] === value)
      )
      assert.equal(grants, each)
    })
  )
  assert.equal(grantingEntry([entry({ uid: 33 }, 'dev.shop.*.*')], WEB, facts), undefined, 'another address')
})

test('an executable is looked at only when nothing else is wanting', () => {
  const [byPath, byHash] = [entry({ uid: 33, exePath: '/x' }), entry({ uid: 33, exeSha256: SHA })]
  assert.ok(wantsExecutable([byPath], WEB, facts))
  assert.ok(!wantsHash([byPath], WEB, facts))
  assert.ok(wantsHash([byHash], WEB, facts))
  assert.ok(!wantsHash([byHash], WEB, { ...facts, exeSha256: 'cd'.repeat(32) }), 'it is known')
  for (const one of [byPath, byHash]) {
    assert.ok(!wantsExecutable([one], WEB, { ...facts, uid: 34 }))
    assert.ok(!wantsExecutable([one], parseAddress('dev.shop.cart.default.a'), facts))
  }
  const both = entry({ exePath: '/x', exeSha256: SHA })
  assert.ok(!wantsHash([both], WEB, { ...facts, exePath: '/y' }), 'its path is wrong already')
})

test('a refusal names what the nearest entry asks for', () => {
  assert.match(whyNotGranted([], WEB, facts), /no entry grants dev\.web\.nginx\.default\.a to uid 33/)
  const entries = [entry({ uid: 1, gid: 1 }), { ...entry({ exePath: '/x' }), id: 'e2' }]
  assert.match(whyNotGranted(entries, WEB, facts), /entry e2 does not grant .*: its executable is not established/)
})

test('a revoked address is denied in both directions, whatever allows it', () => {
  const { rules } = addRule(
    undefined,
    {
      effect: 'allow',
      source: parsePattern('*.*.*.*'),
      destination: parsePattern('*.*.*.*'),
      protocols: [],
      notBeforeMs: 0,
      untilMs: 0,
      reason: ''
    },
    NOW
  )
  const what = { pattern: parsePattern('dev.web.*.*'), reason: 'leaked' }
  const bundle = next(undefined, { rules, revocations: addRevocation(undefined, what, NOW).revocations })
  const cart = parseAddress('dev.shop.cart.default.b')
  const ask = (source: typeof WEB, destination: typeof WEB) =>
    evaluate(bundle, { source, destination, protocol: 'tcp', whitelist: [parsePattern('*.*.*.*')] }, NOW)
  for (const [source, destination] of [
    [WEB, cart],
    [cart, WEB]
  ] as const) {
    const { allowed, ground, rule, text } = ask(source, destination)
    assert.deepEqual([allowed, ground, rule], [false, 'REVOKED', 'x1'])
    assert.match(text, /dev\.web\.nginx\.default\.a is revoked \(x1: dev\.web\.\*\.\*: leaked\)/)
  }
  assert.ok(ask(cart, cart).allowed)
})

test('a bundle as an older version would have sealed it has no entries and no revocations', () => {
  const bundle = next(undefined, { rules: [] })
  assert.deepEqual([bundle.entries, bundle.strict, bundle.revocations], [[], false, []])
  const { bundle: inner } = decode(policyPb.SignedBundleSchema, bundle.signed, 1_000)
  assert.equal(decode(policyPb.BundleSchema, inner, 1_000).strict, false)
})

test('to evict or revoke the same twice adds no second revocation, and a host that has joined again is evicted anew', () => {
  const peer = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
  const other = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
  const first = addRevocation(undefined, { machine: 'c', peers: [peer], keys: [SHA], reason: 'stolen' }, NOW)
  const once = next(undefined, { revocations: first.revocations })
  const twice = addRevocation(once, { machine: 'c', peers: [], reason: '' }, NOW + 60_000)
  assert.equal(twice.revocations, once.revocations)
  assert.equal(twice.added.id, first.added.id)

  const again = addRevocation(once, { machine: 'c', reason: '', again: true }, NOW + 60_000)
  assert.deepEqual(
    again.revocations.map(({ beforeMs, peers, keys }) => [beforeMs, peers, keys]),
    [[61_000, [peer], [SHA]]]
  )
  assert.equal(addRevocation(once, { machine: 'c', peers: [other], reason: '' }, NOW).revocations.length, 2)

  const pattern = parsePattern('dev.web.*.*')
  const revoked = next(once, { revocations: addRevocation(once, { pattern, reason: '' }, NOW).revocations })
  assert.equal(addRevocation(revoked, { pattern, reason: 'again' }, NOW).revocations, revoked.revocations)
})
