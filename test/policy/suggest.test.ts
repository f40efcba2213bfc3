import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Protocol } from '../../src/core/index.ts'
import { type Address, matches, parseAddress, parsePattern } from '../../src/identity/index.ts'
import { type Attempt, breaches, evaluate, type Rule, type Suggested, suggestRules } from '../../src/policy/index.ts'
import { MAX_PAIRS } from '../../src/policy/suggest.ts'

const NOW = 1_800_000_000_000
const EMPTY = { version: 1n, rules: [], revocations: [], invariants: [] }

const name = fc.constantFrom('a', 'b', 'c')
const address = fc.tuple(name, name, name, name, name).map(parts => parseAddress(parts.join('.')))
const attempt: fc.Arbitrary<Attempt> = fc.record({
  source: address,
  destination: address,
  protocol: fc.constantFrom<Protocol>('tcp', 'udp'),
  atMs: fc.constant(NOW - 1_000),
  isAudited: fc.boolean()
})

function rule(id: string, effect: Rule['effect'], source: string, destination: string): Rule {
  return {
    id,
    effect,
    source: parsePattern(source),
    destination: parsePattern(destination),
    protocols: [],
    notBeforeMs: 0,
    untilMs: 0,
    reason: '',
    createdAtMs: NOW
  }
}

function tried(source: string, destination: string, protocol: Protocol = 'tcp', isAudited = false): Attempt {
  return { source: parseAddress(source), destination: parseAddress(destination), protocol, atMs: NOW, isAudited }
}

function rulesOf({ suggestions }: Suggested): Rule[] {
  return suggestions.map(({ source, destination, protocols }, at) => ({
    ...rule(`s${at}`, 'allow', source, destination),
    protocols
  }))
}

const texts = ({ suggestions }: Suggested): string[] =>
  suggestions.map(({ source, destination, protocols }) => `${source} ${destination} ${protocols.join()}`)

describe('suggested rules', () => {
  it('allow every attempt, and no pair of names and protocol that was not attempted', () => {
    const machineless = ({ scope, appGroup, appIdentity, resourceGroup }: Address): string =>
      [scope, appGroup, appIdentity, resourceGroup].join('.')
    const keyOf = ({ source, destination, protocol }: Pick<Attempt, 'source' | 'destination' | 'protocol'>): string =>
      `${machineless(source)} ${machineless(destination)} ${protocol}`
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 40 }), fc.array(attempt, { maxLength: 60 }), (attempts, others) => {
        const suggested = suggestRules(attempts, EMPTY, { nowMs: NOW })
        const policy = { version: 2n, rules: rulesOf(suggested), revocations: [] }
        const wanted = new Set(attempts.map(keyOf))
        for (const one of [...attempts, ...others]) {
          const { allowed } = evaluate(policy, { ...one, whitelist: [] }, NOW)
          assert.equal(allowed, wanted.has(keyOf(one)), keyOf(one))
        }
        const counted = suggested.suggestions.reduce((sum, { refused, audited }) => sum + refused + audited, 0)
        assert.equal(counted, attempts.length)
        assert.ok(suggested.suggestions.length <= wanted.size)
      })
    )
  })

  it('name the machines of both ends if asked, and no others', () => {
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 30 }), fc.array(attempt, { maxLength: 40 }), (attempts, others) => {
        const rules = rulesOf(suggestRules(attempts, EMPTY, { nowMs: NOW, withMachines: true }))
        const covers = (one: Attempt): boolean =>
          rules.some(
            ({ source, destination, protocols }) =>
              matches(source, one.source) && matches(destination, one.destination) && protocols.includes(one.protocol)
          )
        const same = (one: Attempt, other: Attempt): boolean =>
          JSON.stringify([one.source, one.destination, one.protocol]) ===
          JSON.stringify([other.source, other.destination, other.protocol])
        for (const one of [...attempts, ...others]) {
          assert.equal(
            covers(one),
            attempts.some(other => same(one, other))
          )
        }
      })
    )
  })

  it('are one where the attempts are all pairs of some sources and destinations', () => {
    const attempts = ['cart', 'pay'].flatMap(shop =>
      ['site', 'api', 'img'].flatMap(web =>
        (['tcp', 'udp'] as const).map(protocol =>
          tried(`dev.shop.${shop}.default.a`, `dev.web.${web}.default.b`, protocol)
        )
      )
    )
    const found = suggestRules(attempts, EMPTY, { nowMs: NOW })
    assert.deepEqual(texts(found), ['dev.shop.{cart,pay}.default dev.web.{api,img,site}.default tcp,udp'])
    assert.deepEqual(texts(suggestRules(attempts.toReversed(), EMPTY, { nowMs: NOW })), texts(found))
  })

  it('stay patterns that can be parsed, with names of any length and number', () => {
    const long = (at: number): string => `n${String(at).padStart(62, '0')}`
    const attempts = Array.from({ length: 100 }, (_, at) => tried(`${long(1)}.${long(2)}.${long(at)}.x.a`, 'd.d.d.d.b'))
    const found = suggestRules(attempts, EMPTY, { nowMs: NOW })
    assert.ok(found.suggestions.length < 20)
    for (const { source } of found.suggestions) assert.ok(parsePattern(source).text.length <= 1_024)
  })

  it('leave out what is allowed by now, and what a deny rule, a revocation or an invariant forbids, with the reason', () => {
    const policy = {
      ...EMPTY,
      rules: [
        rule('r1', 'allow', 'dev.ok.*.*', 'dev.web.*.*'),
        rule('r2', 'deny', 'dev.guest.*.*', '*.*.*.*'),
        rule('r3', 'audit', 'dev.batch.*.*', 'dev.db.*.*')
      ],
      revocations: [
        {
          id: 'v1',
          machine: undefined,
          beforeMs: 0,
          peers: [],
          keys: [],
          pattern: parsePattern('dev.stolen.*.*'),
          reason: 'stolen',
          createdAtMs: NOW
        }
      ],
      invariants: [
        {
          id: 'i1',
          source: parsePattern('dev.*.*.*'),
          destination: parsePattern('prod.*.*.*'),
          protocols: [],
          reason: '',
          createdAtMs: NOW
        }
      ]
    }
    const attempts = [
      tried('dev.ok.x.y.a', 'dev.web.site.default.b'),
      tried('dev.guest.x.y.a', 'dev.web.site.default.b'),
      tried('dev.stolen.x.y.a', 'dev.web.site.default.b'),
      tried('dev.ops.x.y.a', 'prod.db.z.q.b'),
      tried('dev.batch.x.y.a', 'dev.db.z.q.b', 'tcp', true),
      tried('dev.new.x.y.a', 'dev.web.site.default.b')
    ]
    const found = suggestRules(attempts, policy, { nowMs: NOW })
    assert.equal(found.allowed, 1)
    assert.deepEqual(texts(found).sort(), ['dev.batch.x.y dev.db.z.q tcp', 'dev.new.x.y dev.web.site.default tcp'])
    assert.deepEqual(
      found.unanswered.map(({ source, why }) => [source, /rule r2|stolen|never dev/.exec(why)?.[0]]),
      [
        ['dev.guest.x.y', 'rule r2'],
        ['dev.stolen.x.y', 'stolen'],
        ['dev.ops.x.y', 'never dev']
      ]
    )
  })

  it('break no invariant, and are kept back for no other reason', () => {
    const end = fc.tuple(name, name).map(parts => `${parts.join('.')}.*.*`)
    const pairs = fc.array(fc.tuple(end, end), { maxLength: 4 })
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 20 }), pairs, pairs, (attempts, denied, never) => {
        const rules = denied.map(([source, destination], at) => rule(`d${at}`, 'deny', source, destination))
        const invariants = never.map(([source, destination], at) => ({
          ...{ id: `i${at}`, source: parsePattern(source), destination: parsePattern(destination) },
          ...{ protocols: [], reason: '', createdAtMs: NOW }
        }))
        const found = suggestRules(attempts, { ...EMPTY, rules, invariants }, { nowMs: NOW })
        const before = breaches(rules, invariants, NOW).map(({ invariant }) => invariant.id)
        const after = breaches([...rules, ...rulesOf(found)], invariants, NOW).map(({ invariant }) => invariant.id)
        assert.deepEqual(after, before)
        for (const { source, destination, protocol, why } of found.unanswered) {
          if (why.includes('rule d')) continue
          const alone = { ...rule('alone', 'allow', source, destination), protocols: [protocol] }
          assert.ok(breaches([...rules, alone], invariants, NOW).length > before.length, why)
        }
      })
    )
  })

  it('are kept back for an invariant, each of a thousand pairs beside a thousand denials', () => {
    const many = Array.from({ length: 1_000 }, (_, at) => rule(`d${at}`, 'deny', `dev.g${at}.*.*`, 'prod.*.*.*'))
    const never = { ...{ id: 'i1', source: parsePattern('dev.*.*.*'), destination: parsePattern('prod.*.*.*') } }
    const invariants = [{ ...never, protocols: [], reason: '', createdAtMs: NOW }]
    const attempts = Array.from({ length: 1_000 }, (_, at) => tried(`dev.x.n${at}.y.a`, `prod.w.n${at}.d.b`))
    const found = suggestRules(attempts, { ...EMPTY, rules: many, invariants }, { nowMs: NOW })
    assert.deepEqual([found.suggestions.length, found.unanswered.length], [0, 1_000])
  })

  it('are bounded, whoever is refused: further pairs are counted', () => {
    const attempts = Array.from({ length: MAX_PAIRS + 7 }, (_, at) => tried(`dev.x.n${at}.y.a`, `dev.web.n${at}.d.b`))
    const found = suggestRules(attempts, EMPTY, { nowMs: NOW })
    assert.equal(found.leftOut, 7)
    assert.equal(found.suggestions.length, MAX_PAIRS)
  })
})
