import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Protocol } from '../../src/core/index.ts'
import { parseAddress, parsePattern } from '../../src/identity/index.ts'
import { type Bundle, evaluate, nextChangeMs, type Rule } from '../../src/policy/index.ts'

const NOW = 1_000_000
let serial = 0

function rule(effect: Rule['effect'], source: string, destination: string, more: Partial<Rule> = {}): Rule {
  serial += 1
  return {
    id: `r${serial}`,
    effect,
    source: parsePattern(source),
    destination: parsePattern(destination),
    protocols: [],
    notBeforeMs: 0,
    untilMs: 0,
    reason: '',
    createdAtMs: 0,
    ...more
  }
}

function bundle(...rules: Rule[]): Bundle {
  return {
    trustDomain: 'example.org',
    version: 7n,
    sha256: '',
    isBeginning: false,
    issuedAtMs: 0,
    rules,
    entries: [],
    strict: false,
    revocations: [],
    invariants: [],
    signed: new Uint8Array()
  }
}

function ask(
  policy: Bundle | undefined,
  source: string,
  destination: string,
  whitelist: string[] = [],
  protocol: Protocol = 'tcp'
) {
  const question = {
    source: parseAddress(source),
    destination: parseAddress(destination),
    protocol,
    whitelist: whitelist.map(parsePattern)
  }
  const { allowed, ground } = evaluate(policy, question, NOW)
  return `${allowed ? 'ALLOW' : 'DENY'} ${ground}`
}

const CART = 'dev.shop.cart.default.b'
const NGINX = 'dev.web.nginx.default.a'
const PROD = 'prod.web.nginx.default.a'

test('nothing is allowed without a rule', () => {
  assert.equal(ask(undefined, CART, NGINX), 'DENY DEFAULT')
  assert.equal(ask(bundle(), CART, NGINX), 'DENY DEFAULT')
})

test('an allow rule lets through exactly what it names', () => {
  const policy = bundle(rule('allow', 'dev.shop.*.default', 'dev.web.{nginx,apache}.default'))
  assert.equal(ask(policy, CART, NGINX), 'ALLOW RULE')
  assert.equal(ask(policy, 'dev.other.cart.default.b', NGINX), 'DENY DEFAULT')
  assert.equal(ask(policy, CART, 'dev.web.nginx2.default.a'), 'DENY DEFAULT')
  assert.equal(ask(policy, NGINX, CART), 'DENY DEFAULT', 'a rule has a direction')
})

test('a deny rule beats every allow rule and the whitelist', () => {
  const policy = bundle(rule('allow', 'dev.*.*.*', 'dev.*.*.*'), rule('deny', 'dev.shop.cart.*', 'dev.web.*.*'))
  assert.equal(ask(policy, CART, NGINX, ['dev.*.*.*']), 'DENY RULE')
})

test('the whitelist of a destination counts in its own scope only', () => {
  assert.equal(ask(bundle(), CART, NGINX, ['dev.shop.cart.*']), 'ALLOW WHITELIST')
  assert.equal(ask(bundle(), CART, NGINX, ['dev.shop.other.*']), 'DENY DEFAULT')
  assert.equal(ask(bundle(), CART, PROD, ['*.*.*.*', 'dev.shop.cart.*']), 'DENY SCOPE')
})

test('only a rule that names both scopes crosses them', () => {
  assert.equal(ask(bundle(rule('allow', '*.*.*.*', '*.*.*.*')), CART, PROD), 'DENY SCOPE')
  assert.equal(ask(bundle(rule('allow', 'dev.*.*.*', '*.*.*.*')), CART, PROD), 'DENY SCOPE')
  assert.equal(ask(bundle(rule('allow', '*.*.*.*', 'prod.*.*.*')), CART, PROD), 'DENY SCOPE')
  assert.equal(ask(bundle(rule('allow', 'dev.*.*.*', 'prod.*.*.*')), CART, PROD), 'ALLOW RULE')
})

test('a rule counts from notBefore until just before until', () => {
  const at = (notBeforeMs: number, untilMs: number) =>
    ask(bundle(rule('allow', 'dev.*.*.*', 'dev.*.*.*', { notBeforeMs, untilMs })), CART, NGINX)
  assert.equal(at(NOW, NOW + 1), 'ALLOW RULE')
  assert.equal(at(NOW + 1, 0), 'DENY DEFAULT')
  assert.equal(at(0, NOW), 'DENY DEFAULT')
})

test('a rule for one protocol says nothing of the other', () => {
  const policy = bundle(rule('allow', 'dev.*.*.*', 'dev.*.*.*', { protocols: ['udp'] }))
  assert.equal(ask(policy, CART, NGINX, [], 'tcp'), 'DENY DEFAULT')
  assert.equal(ask(policy, CART, NGINX, [], 'udp'), 'ALLOW RULE')
})

test('a pattern with a machine names that machine only', () => {
  const policy = bundle(rule('allow', 'dev.*.*.*.b', 'dev.web.nginx.default.a'))
  assert.equal(ask(policy, CART, NGINX), 'ALLOW RULE')
  assert.equal(ask(policy, 'dev.shop.cart.default.c', NGINX), 'DENY DEFAULT')
})

test('the next change is the nearest date of any rule', () => {
  const policy = bundle(
    rule('allow', 'dev.*.*.*', 'dev.*.*.*', { untilMs: NOW + 50 }),
    rule('allow', 'dev.*.*.*', 'dev.*.*.*', { notBeforeMs: NOW + 20 }),
    rule('allow', 'dev.*.*.*', 'dev.*.*.*', { untilMs: NOW - 1 })
  )
  assert.equal(nextChangeMs(policy, NOW), NOW + 20)
  assert.equal(nextChangeMs(policy, NOW + 50), undefined)
})
