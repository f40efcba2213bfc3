import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** Seconds where there are weeks. */
const QUICK = [
  '--svid-lifetime',
  '5s',
  '--node-lifetime',
  '10s',
  // The second authority has to outlive what follows the end of the founder, who alone renews its certificate.
  '--authority-lifetime',
  '40s',
  '--renewal-grace',
  '10m'
]

interface Authority {
  readonly machine: string
  readonly state: string
  readonly notAfterMs: number
  readonly rootKey: boolean
}

async function authorities(agent: TestAgent): Promise<readonly Authority[]> {
  return (JSON.parse(await agent.cli('authority', 'list', '--json')) as { authorities: Authority[] }).authorities
}

async function nodeEnd(agent: TestAgent): Promise<number> {
  const { certificates = [] } = (await agent.status()) as unknown as {
    certificates?: { kind: string; notAfterMs: string }[]
  }
  return Number(certificates.find(({ kind }) => kind === 'node')?.notAfterMs ?? 0)
}

async function join3(
  scope: ReturnType<typeof scopeOf>,
  args: readonly string[]
): Promise<[TestAgent, TestAgent, TestAgent]> {
  const a = await new TestAgent(scope, { name: 'a', args }).start(['--init', 'example.org', ...args])
  const tokens = [await a.cli('token', 'create', 'b'), await a.cli('token', 'create', 'c')]
  const [b, c] = await Promise.all(
    ['b', 'c'].map((name, at) =>
      new TestAgent(scope, { name, args }).start(['--join', tokens[at]?.trim() ?? '', ...args])
    )
  )
  assert.ok(b !== undefined && c !== undefined)
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  return [a, b, c]
}

test('joins and renewals go on without the founding host, through an authority that was added', async t => {
  const scope = scopeOf(t)
  const [a, b, c] = await join3(scope, QUICK)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await Promise.all([b.follows(a), c.follows(a)])

  assert.match((await b.attempt(['authority', 'add', 'c'])).stderr, /NOT_AUTHORITY: the root key is not on this host/)
  assert.match((await b.attempt(['token', 'create', 'x'])).stderr, /NOT_AUTHORITY/)
  assert.match((await a.attempt(['authority', 'add', 'nobody'])).stderr, /NOT_FOUND: no host named nobody/)
  assert.match((await a.attempt(['authority', 'remove', 'a'])).stderr, /INVALID_ARGUMENT: a is the only authority/)
  await a.cli('authority', 'add', 'b')
  assert.match((await a.attempt(['authority', 'add', 'b'])).stderr, /ALREADY_EXISTS: b is already an authority/)
  const [own, other] = await authorities(a)
  assert.deepEqual([own?.machine, own?.state, own?.rootKey], ['a', 'self', true])
  assert.deepEqual([other?.machine, other?.state, other?.rootKey], ['b', 'alive', false])

  // Its own certificate is renewed by who has the root key.
  const first = other?.notAfterMs ?? 0
  await b.program.says(/authority certificate renewed/, 'stderr')
  await waitFor(async () => ((await authorities(c))[1]?.notAfterMs ?? 0) > first, 'its renewal to be seen by others')

  await a.kill()
  const d = new TestAgent(scope, { name: 'd', args: QUICK })
  await d.start(['--join', await b.token('d'), ...QUICK])
  await Promise.all([d.sees(2), c.sees(2)])
  const serve = c.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await d.knows(SITE)
  const client = d.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  client.stdin.write('through the second\n')
  await serve.says(/through the second/)
  const ends = await Promise.all([nodeEnd(c), nodeEnd(d)])
  for (const [at, agent] of [c, d].entries()) {
    await waitFor(async () => (await nodeEnd(agent)) > (ends[at] ?? 0), `${agent.name} to be renewed`, 20_000)
  }
  client.stdin.write('and still\n')
  await serve.says(/and still/)
})

test('an authority that is removed admits nobody and what it admitted stays; an evicted one takes what it admitted along', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const joined = async (name: string): Promise<TestAgent> => {
    const token = await b.token(name)
    return await new TestAgent(scope, { name, args: [] }).start(['--join', token])
  }
  await a.cli('authority', 'add', 'b')
  // It is one after a restart too.
  await b.stop()
  await b.start([])
  const c = await joined('c')
  await Promise.all([a, b, c].map(agent => agent.sees(2)))

  await a.cli('authority', 'remove', 'b')
  assert.match((await b.attempt(['token', 'create', 'x'])).stderr, /NOT_AUTHORITY/)
  assert.deepEqual(
    ['authority.key', 'authority.pem'].filter(name => existsSync(join(b.stateDir, name))),
    []
  )
  await waitFor(async () => (await authorities(a)).length === 1, 'the list to be shorter')

  // Added anew it has another key, which is none of c's business.
  await a.cli('authority', 'add', 'b')
  const d = await joined('d')
  await Promise.all([a, c, d].map(agent => agent.sees(3)))
  const evicted = await a.attempt(['evict', 'b'])
  assert.equal(evicted.code, 0)
  assert.match(evicted.stderr, /it was an authority, so these are evicted with it, and return in the same ways: d\n/)
  await waitFor(async () => (await a.status()).members === 2, 'b and d to be out')
  await waitFor(async () => (await d.status()).state === 'evicted', 'd to know')
  assert.equal((await c.status()).state, 'ready')
})
