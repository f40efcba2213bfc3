import assert from 'node:assert/strict'
import test from 'node:test'
import { EndedServices } from '../../src/cluster/ended-services.ts'
import { reachOf } from '../../src/cluster/explain/reach.ts'
import { similar } from '../../src/cluster/explain/similar.ts'
import { no, ok, unknown, verdictOf } from '../../src/cluster/explain/types.ts'
import type { Route } from '../../src/cluster/index.ts'
import { parseAddress, parsePattern } from '../../src/identity/index.ts'
import { evaluate, type Rule } from '../../src/policy/index.ts'
import type { RegistryRecord } from '../../src/registry/index.ts'

const NEVER = new AbortController().signal

test('a misspelled address is guessed, and one that is another word is not', () => {
  const known = ['dev.web.site.default.b', 'dev.web.docs.default.c']
  assert.equal(similar('dev.web.sita.default', known), known[0])
  assert.equal(similar('dev.wbe.site.default.b', known), known[0])
  assert.equal(similar('dev.web.dcos.default.*', known), known[1])
  assert.equal(similar('dev.web.shop.default', known), undefined)
  assert.equal(similar('prod.web.site.default', known), undefined)
  // The only letter of a name is no misspelling of another one.
  assert.equal(similar('c', ['b']), undefined)
  assert.equal(similar('bb', ['b', 'host']), 'b')
})

test('steps that one host cannot say leave the whole undecided, unless another one is wrong', () => {
  assert.equal(verdictOf([ok('a', '')]), 'works')
  assert.equal(verdictOf([ok('a', ''), unknown('b', '', '')]), 'undecided')
  assert.equal(verdictOf([no('a', '', ''), unknown('b', '', '')]), 'fails')
})

const record = (address: string, id: string, protocols = ['tcp']): RegistryRecord =>
  ({ address: parseAddress(address), registrationId: id, protocols }) as unknown as RegistryRecord

test('what a host no longer serves is remembered for a day, and what it serves again is not', () => {
  let nowMs = 1_000
  const ended = new EndedServices({ wallMs: () => nowMs })
  const names = (): string[] =>
    ended.matching(parsePattern('dev.*.*.*')).map(({ address }) => `${address.appIdentity}.${address.machine}`)
  ended.changed('b', [], [record('dev.web.site.default.b', '1'), record('dev.web.client.default.b', '2', [])])
  assert.deepEqual(names(), ['site.b'])
  // Its state changes: the record is replaced by itself.
  ended.changed('c', [record('dev.web.docs.default.c', '3')], [record('dev.web.docs.default.c', '3')])
  assert.deepEqual(names(), ['site.b'])
  ended.changed('b', [record('dev.web.site.default.b', '4')], [])
  assert.deepEqual(names(), [])
  ended.changed('b', [], [record('dev.web.site.default.b', '4')])
  nowMs += 86_400_001
  assert.deepEqual(names(), [])
})

test('a host that ends services without end pushes out those of no other host', () => {
  const ended = new EndedServices({ wallMs: () => 1 })
  ended.changed('b', [], [record('dev.web.site.default.b', '1')])
  for (let at = 0; at < 200; at += 1) ended.changed('c', [], [record(`dev.web.s${at}.default.c`, `c${at}`)])
  const all = ended.matching(parsePattern('*.*.*.*'))
  assert.equal(all.filter(({ address }) => address.machine === 'c').length, 32)
  assert.equal(all.filter(({ address }) => address.machine === 'b').length, 1)
})

const rule = (id: string, effect: Rule['effect'], source: string, destination: string): Rule => ({
  id,
  effect,
  source: parsePattern(source),
  destination: parsePattern(destination),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason: '',
  createdAtMs: 1
})

const route = (address: string, protocols: string[], whitelist: string[] = []): Route =>
  ({ address: parseAddress(address), protocols, whitelist: whitelist.map(parsePattern) }) as unknown as Route

test('reach has each pair that a connection would be allowed for, and what the policy says of others', async () => {
  const known = [
    route('dev.shop.cart.default.a', []),
    route('dev.blog.page.default.a', []),
    route('dev.web.site.default.b', ['tcp'], ['dev.blog.*.*'])
  ]
  const rules = [
    rule('r1', 'allow', 'dev.shop.*.*', 'dev.web.*.*'),
    rule('r2', 'deny', '*.*.evil.*', 'dev.web.*.*'),
    rule('r3', 'allow', 'dev.shop.*.*', 'dev.other.*.*')
  ]
  const deps = {
    known: () => known,
    rules: () => rules,
    evaluate: (source: Route['address'], destination: Route, protocol: 'tcp' | 'udp') =>
      evaluate(
        { version: 1n, rules, revocations: [] },
        { source, destination: destination.address, protocol, whitelist: destination.whitelist },
        1
      ),
    nowMs: () => 1
  }
  const all = parsePattern('*.*.*.*')
  const site = await reachOf(deps, all, parsePattern('dev.web.site.default'), NEVER)
  assert.deepEqual(
    site.pairs.map(({ source, destination }) => `${source} ${destination}`),
    ['dev.shop.cart.default.a dev.web.site.default.b', 'dev.blog.page.default.a dev.web.site.default.b']
  )
  assert.deepEqual(
    site.statements.map(({ effect, id, source }) => `${effect} ${id} ${source}`),
    ['allow r1 dev.shop.*.*', 'deny r2 *.*.evil.*', 'whitelist  dev.blog.*.*']
  )
  assert.equal(site.isCutOff, false)
  const cart = await reachOf(deps, parsePattern('dev.shop.cart.default'), all, NEVER)
  assert.deepEqual([cart.pairs.length, cart.statements.map(({ id }) => id)], [1, ['r1', 'r3']])
  const many = Array.from({ length: 600 }, (_, at) => route(`dev.shop.c${at}.default.a`, []))
  const cut = await reachOf({ ...deps, known: () => [...known, ...many] }, all, all, NEVER)
  assert.deepEqual([cut.pairs.length, cut.isCutOff], [500, true])
})
