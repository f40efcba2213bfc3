import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseAddress, parsePattern } from '../../src/identity/index.ts'
import { evaluate, type PastConnection, type Rule, replay } from '../../src/policy/index.ts'
import { MAX_REPLAYED } from '../../src/policy/replay.ts'

const NOW = 1_800_000_000_000
const base = { protocols: [], notBeforeMs: 0, untilMs: 0, reason: '', createdAtMs: NOW }

const name = fc.constantFrom('a', 'b')
const address = fc.tuple(name, name, name, name, name).map(parts => parseAddress(parts.join('.')))
const component = fc.constantFrom('a', 'b', '*', '{a,b}')
const pattern = fc.tuple(component, component, component, component).map(parts => parsePattern(parts.join('.')))
const rules = fc
  .array(fc.tuple(fc.constantFrom<Rule['effect']>('allow', 'deny', 'audit'), pattern, pattern), { maxLength: 6 })
  .map(all =>
    all.map(
      ([effect, source, destination], at): Rule => ({
        id: `r${at}`,
        effect,
        source,
        destination,
        protocols: [],
        notBeforeMs: 0,
        untilMs: 0,
        reason: '',
        createdAtMs: NOW
      })
    )
  )
const past = fc.record({
  source: address,
  destination: address,
  protocol: fc.constant('tcp' as const),
  atMs: fc.constant(NOW - 1),
  isRefused: fc.boolean(),
  isWhitelisted: fc.constant(false)
})

describe('a replay of the past', () => {
  it('lists exactly the connections for which the two policies differ, each with the way it went', () => {
    fc.assert(
      fc.property(fc.array(past, { maxLength: 30 }), rules, rules, (connections, before, after) => {
        const policy = (some: readonly Rule[]) => ({ version: 1n, rules: some, revocations: [] })
        const found = replay(connections, policy(before), policy(after), NOW)
        const isAllowed = (one: PastConnection, some: readonly Rule[]): boolean =>
          evaluate(policy(some), { ...one, whitelist: [] }, NOW).allowed
        const count = (isRefused: boolean): number =>
          connections.filter(
            one =>
              one.isRefused === isRefused && isAllowed(one, before) !== isRefused && isAllowed(one, after) === isRefused
          ).length
        const total = (some: readonly { connections: number }[]): number =>
          some.reduce((sum, one) => sum + one.connections, 0)
        assert.deepEqual([total(found.refused), total(found.allowed)], [count(false), count(true)])
        assert.equal(found.connections, connections.length)
      })
    )
  })

  it('admits by the whitelist what it admitted, within a scope and unless a rule forbids it', () => {
    const one = { protocol: 'tcp', atMs: NOW, isRefused: false, isWhitelisted: true } as const
    const connection = { ...one, source: parseAddress('a.a.a.a.a'), destination: parseAddress('a.b.b.b.b') }
    const empty = { version: 1n, rules: [], revocations: [] }
    assert.deepEqual(replay([connection], empty, empty, NOW).refused, [])
    const everything = parsePattern('a.*.*.*')
    const deny: Rule = { ...base, id: 'd', effect: 'deny', source: everything, destination: everything }
    const after = { ...empty, rules: [deny] }
    assert.equal(replay([connection], empty, after, NOW).refused[0]?.source, 'a.a.a.a.a')
  })

  it('is bounded, whoever was refused: further connections are counted', () => {
    const many = Array.from(
      { length: MAX_REPLAYED + 3 },
      (_, at): PastConnection => ({
        source: parseAddress(`a.b.n${at}.c.d`),
        destination: parseAddress('a.b.c.d.e'),
        protocol: 'udp',
        atMs: NOW,
        isRefused: true,
        isWhitelisted: false
      })
    )
    const empty = { version: 1n, rules: [], revocations: [] }
    assert.equal(replay(many, empty, empty, NOW).leftOut, 3)
  })
})
