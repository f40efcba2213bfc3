import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ErrorCode, type Protocol, WarrenError } from '../../src/core/index.ts'
import { type Address, formatAddress, matches, parsePattern } from '../../src/identity/index.ts'
import {
  Assertions,
  type Bundle,
  breaches,
  breachText,
  evaluate,
  type Invariant,
  type Pairs,
  type Rule,
  requireInvariants
} from '../../src/policy/index.ts'

const NOW = 1_000

function rule(effect: Rule['effect'], source: string, destination: string, more: Partial<Rule> = {}): Rule {
  const pairs = { source: parsePattern(source), destination: parsePattern(destination), protocols: [] }
  return { id: 'r1', effect, ...pairs, notBeforeMs: 0, untilMs: 0, reason: '', createdAtMs: 0, ...more }
}

function never(source: string, destination: string, protocols: Protocol[] = []): Invariant {
  const pairs = { source: parsePattern(source), destination: parsePattern(destination), protocols }
  return { id: 'i1', ...pairs, reason: '', createdAtMs: 0 }
}

const bundleOf = (rules: readonly Rule[]): Bundle => ({
  trustDomain: 'example.org',
  version: 1n,
  sha256: '',
  issuedAtMs: 0,
  isBeginning: true,
  rules,
  entries: [],
  strict: false,
  revocations: [],
  invariants: [],
  signed: new Uint8Array()
})

// Three names, of which patterns name two: the third stands for all that no pattern names.
const NAMES = ['a', 'b', 'z']
const component = fc.constantFrom('*', '*', 'a', 'b', '{a,b}')
// Two components vary, so that brute force is possible: the scope and the application.
const pattern = fc.tuple(component, component).map(([scope, name]) => `${scope}.g.${name}.r`)
const protocols = fc.constantFrom<Protocol[]>([], [], ['tcp'], ['udp'])
const dates = fc.constantFrom<readonly [number, number]>(
  [0, 0],
  [0, 0],
  [0, 2_000],
  [2_000, 0],
  [2_000, 3_000],
  [0, 500]
)
const anyRule = fc
  .record({
    effect: fc.constantFrom<Rule['effect']>('allow', 'allow', 'deny', 'audit'),
    source: pattern,
    destination: pattern,
    protocols,
    dates
  })
  .map(({ effect, source, destination, protocols, dates: [notBeforeMs, untilMs] }) =>
    rule(effect, source, destination, { protocols, notBeforeMs, untilMs })
  )
const anyRules = fc.array(anyRule, { maxLength: 8 })
const anyPairs = fc
  .record({ source: pattern, destination: pattern, protocols })
  .map(({ source, destination, protocols }) => never(source, destination, protocols))

const ADDRESSES: Address[] = NAMES.flatMap(scope =>
  NAMES.map(appIdentity => ({ scope, appGroup: 'g', appIdentity, resourceGroup: 'r', machine: 'm' }))
)
// One instant of each span between the dates above.
const TIMES = [NOW, 2_000, 3_000]

interface Connection {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  readonly atMs: number
}

function connectionsOf({ source, destination, protocols }: Pairs, times: readonly number[]): Connection[] {
  const named = protocols.length === 0 ? (['tcp', 'udp'] as const) : protocols
  return ADDRESSES.filter(one => matches(source, one)).flatMap(from =>
    ADDRESSES.filter(one => matches(destination, one)).flatMap(to =>
      named.flatMap(protocol => times.map(atMs => ({ source: from, destination: to, protocol, atMs })))
    )
  )
}

const EVERYBODY = [parsePattern('*.*.*.*')]

function isAllowed(rules: readonly Rule[], { atMs, ...pair }: Connection, whitelist = EVERYBODY): boolean {
  return evaluate(bundleOf(rules), { ...pair, whitelist }, atMs).allowed
}

function isOf({ source, destination, protocols }: Pairs, connection: Connection): boolean {
  return (
    matches(source, connection.source) &&
    matches(destination, connection.destination) &&
    (protocols.length === 0 || protocols.includes(connection.protocol))
  )
}

test('an invariant is broken exactly if a connection of it would be allowed at some time, and the example is one', () => {
  fc.assert(
    fc.property(anyRules, anyPairs, (rules, invariant) => {
      const [breach] = breaches(rules, [invariant], NOW)
      const isBroken = connectionsOf(invariant, TIMES).some(connection => isAllowed(rules, connection))
      assert.equal(breach !== undefined, isBroken)
      if (breach === undefined) return
      assert.ok(breach.example !== undefined)
      assert.ok(isOf(invariant, breach.example), formatAddress(breach.example.source))
      assert.ok(breach.example.atMs >= NOW)
      assert.ok(isAllowed(rules, breach.example), breachText(breach))
      // A rule is named if one allows the example without any whitelist.
      assert.equal(breach.rule !== undefined, isAllowed(rules, breach.example, []))
    }),
    { numRuns: 3_000 }
  )
})

test('an assertion about rules holds exactly if it does for each of its connections', () => {
  fc.assert(
    fc.property(anyRules, anyPairs, fc.boolean(), (rules, pairs, expected) => {
      const verdict = new Assertions(rules, NOW).decide({ ...pairs, isAllowed: expected })
      const all = connectionsOf(pairs, [NOW])
      assert.equal(
        verdict.holds,
        all.every(connection => isAllowed(rules, connection, []) === expected)
      )
      if (verdict.holds) return
      assert.ok(verdict.example !== undefined && isOf(pairs, verdict.example))
      assert.equal(isAllowed(rules, verdict.example, []), !expected)
    }),
    { numRuns: 3_000 }
  )
})

test('across scopes only a rule that names both breaks an invariant', () => {
  const invariant = never('dev.*.*.*', 'prod.*.*.*')
  const broken = (...rules: Rule[]): boolean => breaches(rules, [invariant], NOW).length > 0
  assert.ok(!broken())
  assert.ok(!broken(rule('allow', '*.*.*.*', '*.*.*.*')))
  assert.ok(broken(rule('allow', 'dev.ops.*.*', 'prod.*.*.*')))
  assert.ok(broken(rule('audit', 'dev.ops.*.*', 'prod.*.*.*')))
  assert.ok(!broken(rule('allow', 'dev.ops.*.*', 'prod.*.*.*'), rule('deny', 'dev.*.*.*', '*.*.*.*')))
})

test('within a scope an invariant needs a denial, since a destination may admit anybody there', () => {
  const invariant = never('dev.guest.*.*', 'dev.db.*.*')
  const [breach] = breaches([], [invariant], NOW)
  assert.equal(breach?.rule, undefined)
  assert.match(breachText(breach as NonNullable<typeof breach>), /a whitelist of the destination could allow/)
  assert.deepEqual(breaches([rule('deny', 'dev.guest.*.*', 'dev.{db,cache}.*.*')], [invariant], NOW), [])
})

test('a denial that ends leaves an example of the time after it', () => {
  const invariant = never('dev.guest.*.*', 'dev.db.*.*')
  const [breach] = breaches([rule('deny', 'dev.*.*.*', 'dev.*.*.*', { untilMs: 5_000 })], [invariant], NOW)
  assert.equal(breach?.example?.atMs, 5_000)
})

test('a broken invariant is refused with the rule and a connection', () => {
  const rules = [rule('allow', 'dev.ops.*.*', 'prod.{db,web}.*.*', { id: 'r7' })]
  assert.throws(
    () => requireInvariants({ rules, invariants: [never('dev.*.*.*', 'prod.db.*.*')] }, NOW),
    (err: unknown) =>
      WarrenError.is(err, ErrorCode.InvariantBroken) &&
      /never dev\.\*\.\*\.\* -> prod\.db\.\*\.\* does not hold: rule r7: allow .* allows dev\.ops\.\S+ -> prod\.db\.\S+ \(tcp\)/.test(
        err.message
      )
  )
})

test('what takes too many steps is refused, and does not hold the agent up', () => {
  // Each denial covers all but one name of one component: together they need many pieces.
  const listed = (at: number): string =>
    `{${Array.from({ length: 12 }, (_unused, name) => `n${(name * 7 + at) % 40}`).join(',')}}`
  const rules = Array.from({ length: 400 }, (_unused, at) =>
    rule(
      'deny',
      `dev.${listed(at)}.${listed(at * 3)}.${listed(at * 5)}`,
      `dev.${listed(at * 11)}.${listed(at * 13)}.${listed(at * 17)}`
    )
  )
  const [breach] = breaches(rules, [never('dev.*.*.*', 'dev.*.*.*')], NOW)
  assert.ok(breach !== undefined)
})
