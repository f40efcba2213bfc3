import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, settled, startPair, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

test('nothing connects without a rule, an allow rule opens, a deny rule cuts the live flow', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)

  const refused = await b.attempt(['connect', SITE, '--as', SHOP])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /UNAUTHORIZED/)
  assert.equal(serve.stdout, '')

  await a.cli('allow', SHOP, SITE)
  await b.follows(a)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected to dev\.web\.site\.default\.a/, 'stderr')
  client.stdin.write('let through\n')
  await serve.says(/let through/)

  const denied = performance.now()
  await a.cli('deny', SHOP, SITE)
  const cut = await settled(client.outcome(), 'the cut of the live flow', 5_000)
  t.diagnostic(`deny to cut: ${Math.round(performance.now() - denied)} ms, with the start of the command`)
  assert.equal(cut.code, 1)
  assert.match(cut.stderr, /STREAM_TRUNCATED|FLOW_CUT/)
  await serve.says(/cut/, 'stderr')

  const again = await b.attempt(['connect', SITE, '--as', SHOP])
  assert.equal(again.code, 1)
  assert.match(again.stderr, /UNAUTHORIZED/)
})

test('the whitelist of the destination opens within a scope, and never across scopes', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', SITE, '--allow', 'dev.shop.*.*', '--allow', 'prod.*.*.*'])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  for (const source of ['dev.other.cart.default', 'prod.shop.cart.default']) {
    const { code, stderr } = await b.attempt(['connect', SITE, '--as', source])
    assert.equal(code, 1)
    assert.match(stderr, /UNAUTHORIZED/)
  }
})

test('explain says before connecting what connecting will say', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const client = b.spawn(['register', SHOP])
  assert.equal((await client.outcome()).code, 0)

  const source = `${SHOP}.b`
  assert.equal((await b.attempt(['explain', source, SITE])).code, 1)
  await a.cli('allow', SHOP, SITE)
  await waitFor(async () => (await b.attempt(['explain', source, SITE])).code === 0, 'the rule to reach b')
})
