import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { certificatesIn, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** Seconds where there are weeks, but long enough that nothing is renewed by its date. */
const ARGS = [
  '--svid-lifetime',
  '20s',
  '--node-lifetime',
  '40s',
  '--authority-lifetime',
  '5m',
  '--renewal-grace',
  '10m'
]

interface Root {
  readonly version: number
  readonly roots: readonly { readonly sha256: string; readonly keyHere: boolean }[]
  readonly behind: readonly { readonly machine: string; readonly reason: string }[]
}

function bundled(directory: string): number {
  const path = join(directory, 'bundle.pem')
  return existsSync(path) ? certificatesIn(readFileSync(path, 'utf8')).length : 0
}

async function root(agent: TestAgent): Promise<Root> {
  return JSON.parse(await agent.cli('root', 'status', '--json')) as Root
}

test('a flow outlives a rotation of the root, an old token admits, and a host that was off for all of it comes back', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org', ...ARGS])
  const tokens = [await a.cli('token', 'create', 'b'), await a.cli('token', 'create', 'c')]
  const [b, c] = await Promise.all(
    ['b', 'c'].map((name, at) =>
      new TestAgent(scope, { name, args: [] }).start(['--join', tokens[at]?.trim() ?? '', ...ARGS])
    )
  )
  assert.ok(b !== undefined && c !== undefined)
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await a.cli('authority', 'add', 'b')
  const old = await a.token('d')
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  client.stdin.write('before\n')
  await serve.says(/before/)
  // A program that reads files.
  const files = join(scope.directory(), 'svid')
  b.spawn(['svid', 'fetch', 'dev.files.x.default', '--out', files, '--watch'])
  const roots = (count: number) => waitFor(() => bundled(files) === count, `${count} roots in the files`)
  await roots(1)
  const { peerId: gone } = await c.status()
  await c.stop()

  assert.match((await b.attempt(['root', 'rotate'])).stderr, /NOT_AUTHORITY: the root key is not on this host/)
  assert.match((await a.attempt(['root', 'rotate', '--finish'])).stderr, /NOT_FOUND: no rotation/)
  const [before] = (await root(a)).roots
  const since = performance.now()
  await a.cli('root', 'rotate')
  assert.match((await a.attempt(['root', 'rotate'])).stderr, /ALREADY_EXISTS: a rotation of the root is in progress/)
  const refused = await a.attempt(['root', 'rotate', '--finish'])
  assert.match(refused.stderr, /NOT_READY: not every host is below the new root: .*c \(it is off/)
  const d = await new TestAgent(scope, { name: 'd', args: [] }).start(['--join', old, ...ARGS])
  await Promise.all([a, b, d].map(agent => agent.sees(2)))
  const state = await waitFor(async () => {
    const { roots, behind, version } = await root(a)
    return roots.length === 2 && behind.every(({ machine }) => machine === 'c') ? { roots, version } : undefined
  }, 'a, b and d to be below the new root')
  t.diagnostic(`all that were there below the new root after ${Math.round(performance.now() - since)} ms`)
  assert.deepEqual(
    state.roots.map(({ keyHere }) => keyHere),
    [true, true]
  )
  await waitFor(async () => (await root(b)).version === state.version, 'b to have both roots')
  await roots(2)
  client.stdin.write('between\n')
  await serve.says(/between/)

  await a.cli('root', 'rotate', '--finish', '--force')
  const after = await root(a)
  assert.equal(after.roots.length, 1)
  assert.notEqual(after.roots[0]?.sha256, before?.sha256)
  assert.equal(existsSync(join(a.stateDir, 'root.former.key')), false)
  await waitFor(async () => (await root(b)).version === after.version, 'b to have the new root alone')
  await roots(1)
  client.stdin.write('after\n')
  await serve.says(/after/)
  assert.equal(client.hasEnded, false)
  for (const agent of [a, b]) {
    const cuts = agent.program.stderr.split('\n').filter(line => /flows and sessions cut|host disconnected/.test(line))
    assert.deepEqual(
      cuts.filter(line => !line.includes(gone)),
      []
    )
  }

  // It knows the old root only, and nobody else does.
  const back = performance.now()
  await c.start(ARGS)
  await c.sees(3)
  t.diagnostic(`the host that was off is back ${Math.round(performance.now() - back)} ms after its start`)
  assert.deepEqual(
    (await root(c)).roots.map(({ sha256 }) => sha256),
    after.roots.map(({ sha256 }) => sha256)
  )
  const again = c.spawn(['connect', SITE, '--as', 'dev.shop.till.default'])
  await again.says(/connected/, 'stderr')
  await a.cli('token', 'create', 'e')
  await b.cli('token', 'create', 'f')
})
