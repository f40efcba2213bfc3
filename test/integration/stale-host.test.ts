import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf, servicesOf, startPair, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

test('a host that comes back with an old copy of its state brings back no record, no rule and no trust', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const old = join(scope.directory(), 'old')
  const first = b.spawn(['serve', SITE])
  await first.says(/serving/, 'stderr')
  await a.knows(SITE)
  // It registers again wherever it finds an agent, so it ends while there is none.
  await b.stop()
  await first.kill()
  cpSync(b.stateDir, old, { recursive: true })

  // What the copy does not know: two more lives, records of its own, a denial and a revocation.
  await b.start([])
  const second = b.spawn(['serve', 'dev.web.later.default'])
  await second.says(/serving/, 'stderr')
  await a.knows('dev.web.later.default')
  const rule = (await a.cli('deny', 'dev.*.*.*', SITE)).trim()
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  await b.follows(a)
  await b.stop()
  await second.kill()
  await b.start([])
  await b.stop()

  rmSync(b.stateDir, { recursive: true })
  cpSync(old, b.stateDir, { recursive: true })
  await b.start([])
  // Its first answers after it is ready: it learned all that before it served.
  assert.equal((await b.status()).policyVersion, (await a.status()).policyVersion)
  assert.match(await b.cli('policy', 'show'), /dev\.shop\.\*\.\*.*leaked/)
  assert.match((await b.attempt(['register', SHOP])).stderr, /REVOKED/)
  await b.sees(1)
  for (const agent of [a, b]) {
    assert.deepEqual(
      (await servicesOf(agent, '')).filter(({ address }) => address.endsWith('.b')),
      []
    )
  }

  // And it is heard: its new life counts as one, not as a replay of the old.
  const third = b.spawn(['serve', SITE])
  await third.says(/serving/, 'stderr')
  await a.knows(SITE)
  const refused = await a.attempt(['connect', SITE, '--as', 'dev.till.cart.default'])
  assert.match(refused.stderr, /UNAUTHORIZED/)
  assert.match(refused.stderr, new RegExp(rule.split(/\s/)[0] ?? ''))
  assert.doesNotMatch(a.program.stderr, /equivocat|quarantine/i)
  await waitFor(async () => ((await b.status()).registrations ?? 0) === 1, 'one registration')
})
