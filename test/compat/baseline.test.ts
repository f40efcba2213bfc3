import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { asRoot, createHosts, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { type Build, buildBaseline, isFull, isMissing, newBuild } from './support/baseline.ts'
import { carriedFlow, datagramFlows, pooledFlows, streamFlows } from './support/flows.ts'
import { meshOf, rid } from './support/host.ts'

// A program of the commit that docs/protocol/baseline.md names, built beside this one; old and new in both roles.

const missing = isMissing()
if (isFull && missing !== false) throw new Error(missing)
const whenBuilt = { skip: missing }
const whenFull = { skip: missing || (isFull ? false : 'part of the long form: npm run test:compat') }
const whenHidden = { skip: whenFull.skip || asRoot.skip }
const files = scopeOf({ after: fn => after(fn as () => Promise<void>) })
/** Seconds where there are weeks: certificates are renewed meanwhile, and what waits for their lifetime waits for seconds. */
const SHORT_LIVES = [
  '--svid-lifetime',
  '20s',
  '--node-lifetime',
  '40s',
  '--authority-lifetime',
  '5m',
  '--renewal-grace',
  '10m'
]

let old: Build
before(async () => {
  if (missing === false) old = await buildBaseline(files)
})

/** Each test once with the old program first, and once with the new one first. */
const DIRECTIONS = [
  { title: 'an old founder and a new host', pair: () => [old, newBuild] as const },
  { title: 'a new founder and an old host', pair: () => [newBuild, old] as const }
]

for (const { title, pair } of DIRECTIONS) {
  test(
    `${title}: it joins, each learns the other's registrations, and streams and datagrams pass both ways`,
    whenBuilt,
    async t => {
      const scope = scopeOf(t)
      const [a, b] = await meshOf(scope, pair())
      assert.ok(a !== undefined && b !== undefined)
      const version = (await (a.build === newBuild ? a : b).agent.status()).version ?? ''
      for (const host of [a, b]) {
        // The commands of either version show the members of an agent of either version.
        for (const build of [old, newBuild]) assert.equal((await host.members(build)).length, 2)
      }
      const seenByNew = await (a.build === newBuild ? a : b).members()
      assert.deepEqual(
        seenByNew.map(member => member.version),
        [version, 'unknown']
      )
      for (const [from, to] of [
        [a, b],
        [b, a]
      ] as const) {
        await streamFlows(scope, from, to)
        await datagramFlows(scope, from, to)
      }
    }
  )

  test(`${title}: streams of the mesh and of a relay of either version carry flows`, whenFull, async t => {
    const scope = scopeOf(t)
    const [first, second] = pair()
    const [a, b] = await meshOf(scope, [first, second], ['--carrier', 'mesh'])
    assert.ok(a !== undefined && b !== undefined)
    await carriedFlow(scope, a, b, /^mesh$/)
    await carriedFlow(scope, b, a, /^mesh$/)
    const [c, d, e] = await meshOf(scope, [first, second, first], ['--carrier', 'relay'])
    assert.ok(c !== undefined && d !== undefined && e !== undefined)
    await carriedFlow(scope, c, d, /^relay via c$/)
    await carriedFlow(scope, d, c, /^relay via c$/)
    await carriedFlow(scope, c, e, /^relay via b$/)
  })

  test(
    `${title}: a host that cannot be dialled, and may not be asked to dial back, is reached over the mesh`,
    whenHidden,
    async t => {
      const scope = scopeOf(t)
      const hosts = await createHosts(scope, 'a', 'b')
      hosts[1].hideFrom(hosts[0])
      const [first, second] = pair()
      const a = await new TestAgent(scope, { name: 'a', args: [], host: hosts[0] }).start(
        ['--init', 'example.org', '--no-mdns'],
        first.program
      )
      await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
      const token = (await a.cli('token', 'create', 'b')).trim()
      const b = await new TestAgent(scope, { name: 'b', args: [], host: hosts[1] }).start(
        ['--join', token, '--no-mdns'],
        second.program
      )
      await b.follows(a)
      const serve = b.spawn(['serve', 'dev.web.site.default'])
      await serve.says(/serving/, 'stderr')
      await a.knows('dev.web.site.default')
      const client = a.spawn(['connect', 'dev.web.site.default', '--as', 'dev.shop.cart.default'])
      await client.says(/connected/, 'stderr')
      client.stdin.write('hello\n')
      await serve.says(/hello/)
      const { flows } = JSON.parse(await a.cli('flows', '--json')) as { flows: Array<{ carrier: string }> }
      assert.deepEqual(
        flows.map(({ carrier }) => carrier),
        ['mesh']
      )
    }
  )

  test(`${title}: flows begin on pooled fast-path connections both ways`, whenFull, async t => {
    const scope = scopeOf(t)
    const [a, b] = await meshOf(scope, pair())
    assert.ok(a !== undefined && b !== undefined)
    await pooledFlows(scope, a, b)
    await pooledFlows(scope, b, a)
  })

  test(`${title}: a rule and an eviction take effect on hosts of both versions`, whenFull, async t => {
    const scope = scopeOf(t)
    const [first, second] = pair()
    const [a, b, c, d] = await meshOf(scope, [first, second, first, second])
    assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined)
    await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
    for (const host of [b, c, d]) await host.agent.follows(a.agent)
    const serve = c.spawn(['serve', 'dev.web.site.default'])
    await serve.says(/serving/, 'stderr')
    await b.agent.knows('dev.web.site.default')
    const client = b.spawn(['connect', 'dev.web.site.default', '--as', 'dev.shop.cart.default'])
    await client.says(/connected/, 'stderr')
    client.stdin.write('before\n')
    await serve.says(/before/)

    await a.cli('evict', 'b', '--reason', 'stolen')
    assert.equal((await client.outcome()).code, 1)
    await Promise.all([a, c, d].map(host => rid(host, 'b')))
    await waitFor(async () => (await b.agent.status()).state === 'evicted', 'b to know')
    // The others still reach each other.
    await streamFlows(scope, d, c)
    await a.cli('evict', 'c', '--reason', 'stolen too')
    await Promise.all([a, d].map(host => rid(host, 'c')))
  })

  test(`${title}: a flow outlives the rotation of the root, which both finish`, whenFull, async t => {
    const scope = scopeOf(t)
    const [a, b] = await meshOf(scope, pair(), SHORT_LIVES)
    assert.ok(a !== undefined && b !== undefined)
    await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
    await b.agent.follows(a.agent)
    const serve = b.spawn(['serve', 'dev.web.site.default'])
    await serve.says(/serving/, 'stderr')
    await a.agent.knows('dev.web.site.default')
    const client = a.spawn(['connect', 'dev.web.site.default', '--as', 'dev.shop.cart.default'])
    await client.says(/connected/, 'stderr')
    const passes = async (word: string): Promise<void> => {
      client.stdin.write(`${word}\n`)
      await serve.says(new RegExp(word))
    }
    await passes('before')
    await a.cli('authority', 'add', 'b')
    await a.cli('root', 'rotate')
    const root = async (host: typeof a) =>
      JSON.parse(await host.cli('root', 'status', '--json')) as { version: number; roots: unknown[]; behind: unknown[] }
    await waitFor(async () => (await root(a)).behind.length === 0, 'both to be below the new root')
    await waitFor(async () => (await root(b)).roots.length === 2, 'b to trust both roots')
    await passes('between')
    await a.cli('root', 'rotate', '--finish')
    await waitFor(async () => (await root(b)).roots.length === 1, 'b to trust the new root alone')
    await passes('after')
    assert.equal(client.hasEnded, false)
    await streamFlows(scope, b, a)
    await b.cli('token', 'create', 'c')
  })

  test(
    `${title}: a host that becomes the other version on the same state stays a member, and can go back`,
    whenFull,
    async t => {
      const scope = scopeOf(t)
      const [first, second] = pair()
      const [a, b] = await meshOf(scope, [first, second])
      assert.ok(a !== undefined && b !== undefined)
      for (const [at, build] of [first, second].entries()) {
        await b.agent.stop()
        // It asks for what it has missed.
        await a.cli('allow', `dev.missed-${at}.*.*`, 'dev.*.*.*')
        await b.becomes(build)
        await Promise.all([a, b].map(({ agent }) => agent.sees(1)))
        await b.agent.follows(a.agent)
      }
      await a.becomes(second)
      await Promise.all([a, b].map(({ agent }) => agent.sees(1)))
      await a.cli('token', 'create', 'c')
    }
  )
}

test(
  'a founder that waits for receipts names an old host, which has the policy and cannot say so',
  whenFull,
  async t => {
    const scope = scopeOf(t)
    const [a] = await meshOf(scope, [newBuild, old])
    assert.ok(a !== undefined)
    const { code, stdout } = await a.attempt(['allow', 'dev.*.*.*', 'dev.*.*.*', '--wait', '--json'])
    assert.equal(code, 3)
    const { receipts } = JSON.parse(stdout) as { receipts: Array<{ machine: string; state: string }> }
    assert.deepEqual(
      receipts.map(({ machine, state }) => `${machine} ${state}`),
      ['a applied', 'b announced']
    )
  }
)

test(
  'beside an old host a second admin is refused unless it is accepted; the old host keeps to the founder, and a new end decides by both',
  whenFull,
  async t => {
    const scope = scopeOf(t)
    const [a, b, c] = await meshOf(scope, [newBuild, old, newBuild])
    assert.ok(a !== undefined && b !== undefined && c !== undefined)
    const key = (await c.cli('admin', 'key')).trim()
    const add = ['admin', 'add', 'carol', '--role', 'owner', '--key', key]
    assert.match((await a.attempt(add)).stderr, /NOT_READY: the programs of b know one admin only/)
    await a.cli(...add, '--accept-older-members')
    await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
    await waitFor(async () => (await c.cli('admin', 'list')).includes('carol (this host)'), 'c to be carol')
    await c.cli('deny', 'dev.shop.*.*', 'dev.web.*.*')
    await waitFor(async () => (await a.cli('policy', 'show')).includes('carol/r1'), 'the denial to reach a')
    await b.agent.follows(a.agent)
    assert.doesNotMatch(await b.cli('policy', 'show'), /carol/)

    const serve = a.spawn(['serve', 'dev.web.site.default'])
    await serve.says(/serving/, 'stderr')
    await b.agent.knows('dev.web.site.default')
    const refused = b.spawn(['connect', 'dev.web.site.default', '--as', 'dev.shop.cart.default'])
    assert.equal((await refused.outcome()).code, 1)
    const allowed = b.spawn(['connect', 'dev.web.site.default', '--as', 'dev.till.cart.default'])
    await allowed.says(/connected/, 'stderr')
    assert.match(await a.cli('admin', 'list'), /carol/)
  }
)
