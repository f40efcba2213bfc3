import assert from 'node:assert/strict'
import { cpSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

function loseDatabase({ stateDir }: TestAgent): void {
  for (const name of readdirSync(stateDir)) if (name.startsWith('warren.db')) rmSync(join(stateDir, name))
}

/** Starts an agent that must be refused, and says why it was. */
async function refusal(agent: TestAgent): Promise<string> {
  await assert.rejects(agent.start([]), / ended\n/)
  return agent.program.stderr
}

test('a founder whose database is lost does not start by itself, and no change it makes then lets an evicted host back in', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const c = new TestAgent(scope, { name: 'c', args: [] })
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim()])
  await Promise.all([a.sees(2), b.sees(2)])
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await c.stop()
  await a.cli('evict', 'c', '--reason', 'stolen')
  await b.follows(a)
  const before = BigInt((await a.status()).policyVersion ?? 0)
  await Promise.all([a.stop(), b.stop()])

  loseDatabase(a)
  assert.match(await refusal(a), /STATE_UNUSABLE: the database \S+ is missing, .*\n {2}.*--accept-lost-state/)
  writeFileSync(join(a.stateDir, 'warren.db'), '', { mode: 0o600 })
  assert.match(await refusal(a), /STATE_UNUSABLE: the database \S+ is empty/)
  loseDatabase(a)

  // Nobody else is there, and it knows nobody; but it knows what it signed last.
  await a.start(['--accept-lost-state'])
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), before)
  assert.match(await a.cli('policy', 'show'), /stolen/)
  for (const name of ['one', 'two', 'three']) await a.cli('allow', 'dev.*.*.*', `dev.${name}.*.*`)
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), before + 3n)
  const address = (await a.status()).meshAddresses[0] ?? ''
  await b.start(['--bootstrap', address])
  await b.follows(a)
  assert.match(await b.cli('policy', 'show'), /stolen/)
  const back = c.start(['--bootstrap', address]).catch((err: unknown) => err)
  await waitFor(() => /this host (seems to be|was) evicted/.test(c.program.stderr), 'c to be told that it is evicted')
  for (const agent of [a, b]) assert.doesNotMatch(await agent.cli('members'), /^c\s/m)
  assert.equal((await a.status()).connected, 1)
  await c.kill()
  await back
})

test('a founder that has lost its policy, too, is ready for nothing: it signs none before another host has said what is in force', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  await b.follows(a)
  const before = BigInt((await a.status()).policyVersion ?? 0)
  await Promise.all([a.stop(), b.stop()])
  loseDatabase(a)
  rmSync(join(a.stateDir, 'policy.bundle'))
  assert.match(await refusal(a), /STATE_UNUSABLE: the database/)
  await a.start(['--accept-lost-state'])
  const refused = await a.attempt(['allow', 'dev.*.*.*', 'dev.*.*.*'])
  assert.deepEqual([refused.code, /NOT_READY: the policy of this host was lost/.test(refused.stderr)], [1, true])

  // A host that joins now knows no more, and a restart does not make it forget.
  const d = new TestAgent(scope, { name: 'd', args: [] })
  await d.start(['--join', (await a.cli('token', 'create', 'd')).trim()])
  await a.sees(1)
  assert.match((await a.attempt(['deny', 'dev.*.*.*', 'dev.*.*.*'])).stderr, /NOT_READY/)
  await d.stop()
  await a.stop()
  await a.start([])
  assert.match((await a.attempt(['deny', 'dev.*.*.*', 'dev.*.*.*'])).stderr, /NOT_READY/)

  await b.start(['--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
  await a.follows(b)
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), before)
  await a.cli('allow', 'dev.*.*.*', 'dev.later.*.*')
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), before + 1n)
  await b.follows(a)
  assert.match(await b.cli('policy', 'show'), /leaked/)
})

test('an older copy of its database takes no eviction back either: the policy is kept beside the keys', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await a.stop()
  const old = join(scope.directory(), 'old.db')
  cpSync(join(a.stateDir, 'warren.db'), old)
  await a.start([])
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  const before = (await a.status()).policyVersion
  await a.stop()
  cpSync(old, join(a.stateDir, 'warren.db'))
  await a.start([])
  assert.equal((await a.status()).policyVersion, before)
  assert.match(await a.cli('policy', 'show'), /leaked/)
  assert.match(a.program.stderr, /older than its copy beside the keys/)
})

test('a member whose database is lost says so, and with consent learns from the others what they know', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  await b.follows(a)
  await b.stop()
  loseDatabase(b)
  assert.match(await refusal(b), /STATE_UNUSABLE: the database/)
  rmSync(join(b.stateDir, 'policy.bundle'))
  await b.start(['--accept-lost-state', '--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
  await b.follows(a)
  assert.match((await b.attempt(['register', 'dev.shop.cart.default'])).stderr, /REVOKED/)
  assert.doesNotMatch(a.program.stderr, /equivocat|quarantine|own-state-ahead/i)
})

test('a backup of a host whose database is lost is refused, and one made before brings all of it back', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  const directory = scope.directory()
  const [secret, file] = [join(directory, 'secret'), join(directory, 'a.backup')]
  writeFileSync(secret, 'correct horse battery')
  await a.cli('backup', file, '--passphrase-file', secret)
  await a.stop()
  truncateSync(join(a.stateDir, 'warren.db'), 0)
  const args = ['--state-dir', a.stateDir, '--passphrase-file', secret]
  const refused = await a.attempt(['backup', join(directory, 'b'), ...args])
  assert.deepEqual([refused.code, /STATE_UNUSABLE: the database/.test(refused.stderr)], [1, true], refused.stderr)
  rmSync(a.stateDir, { recursive: true })
  assert.equal((await a.attempt(['restore', file, ...args])).code, 0)
  await a.start([])
  assert.match(await a.cli('policy', 'show'), /leaked/)
  await a.stop()
  rmSync(join(a.stateDir, 'admin.key'))
  assert.match(await refusal(a), /admin\.key is missing/)
})

test('an older copy of its database is no replacement for a lost policy: nothing is signed after it before another host has answered', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await b.follows(a)
  await Promise.all([a.stop(), b.stop()])
  const old = join(scope.directory(), 'old.db')
  cpSync(join(a.stateDir, 'warren.db'), old)
  await a.start([])
  await b.start(['--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  await b.follows(a)
  const before = BigInt((await a.status()).policyVersion ?? 0)
  await Promise.all([a.stop(), b.stop()])
  loseDatabase(a)
  cpSync(old, join(a.stateDir, 'warren.db'))
  rmSync(join(a.stateDir, 'policy.bundle'))

  const why = /STATE_UNUSABLE: \S+policy\.bundle is missing\n {2}.*--accept-lost-state.*from another host/
  for (const _ of [1, 2]) assert.match(await refusal(a), why)
  await a.start(['--accept-lost-state'])
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), 0n)
  for (const _ of ['at once', 'after a restart']) {
    assert.match((await a.attempt(['deny', 'dev.*.*.*', 'dev.*.*.*'])).stderr, /NOT_READY/)
    await a.stop()
    await a.start([])
  }
  await b.start(['--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
  await a.follows(b)
  assert.match(await a.cli('policy', 'show'), /leaked/)
  await a.cli('allow', 'dev.*.*.*', 'dev.later.*.*')
  assert.equal(BigInt((await a.status()).policyVersion ?? 0), before + 1n)
})

test('a damaged policy beside a database of the same is made again from that, as its hint says, and still counts', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  const before = (await a.status()).policyVersion
  await a.stop()
  writeFileSync(join(a.stateDir, 'policy.bundle'), 'garbage')
  assert.match(await refusal(a), /policy\.bundle is damaged\n {2}.*remove it and start once .*made again from/)
  rmSync(join(a.stateDir, 'policy.bundle'))
  await a.start(['--accept-lost-state'])
  assert.equal((await a.status()).policyVersion, before)
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
})

/** As an operator finds a host of which both copies of the policy are gone, before it is started again. */
function losePolicy(agent: TestAgent): void {
  loseDatabase(agent)
  rmSync(join(agent.stateDir, 'policy.bundle'))
}

test('a founder alone that has lost its policy says so at every start, and begins a new one only by an explicit act', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await a.cli('evict', 'c', '--force')
  assert.match(
    (await a.attempt(['policy', 'restart', '--accept-lost-policy'])).stderr,
    /INVALID_ARGUMENT: .*is not lost/
  )
  await a.stop()
  losePolicy(a)
  const why = await refusal(a)
  assert.match(
    why,
    /STATE_UNUSABLE: the database \S+ is missing, .*; so is \S+policy\.bundle\n {2}.*--accept-lost-state.*nothing is allowed/
  )

  await a.start(['--accept-lost-state'])
  for (const _ of ['at once', 'after a second start']) {
    assert.match(await a.cli('status'), /^ALARM +the policy of this host is lost/m)
    assert.match((await a.attempt(['policy', 'show'])).stderr, /ALARM: the policy of this host is lost/)
    assert.equal(JSON.parse(await a.cli('policy', 'show', '--json')).lost, true)
    assert.match(a.program.stderr, /the policy of this host is lost: nothing is allowed/)
    const refused = await a.attempt(['entry', 'add', 'dev.web.*.*', '--user', 'root'])
    assert.match(refused.stderr, /NOT_READY: .*\n {2}.*before the loss.*warren policy restart/)
    await a.stop()
    await a.start([])
  }
  // A host that joins now knows nothing, and does not stand in the way either.
  const d = new TestAgent(scope, { name: 'd', args: [] })
  await d.start(['--join', (await a.cli('token', 'create', 'd')).trim()])
  await a.sees(1)
  const unsure = await a.attempt(['policy', 'restart'])
  assert.deepEqual(
    [unsure.code, /INVALID_OPTION: .*evicted or revoked is trusted again/.test(unsure.stderr)],
    [2, true]
  )
  const begun = await a.attempt(['policy', 'restart', '--accept-lost-policy'])
  assert.equal(begun.code, 0, begun.stderr)
  assert.match(begun.stderr, /EVERY host, key and workload that was evicted or revoked is trusted again/)

  await a.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await d.follows(a)
  assert.doesNotMatch(await a.cli('status'), /ALARM/)
  const version = (await a.status()).policyVersion
  await a.stop()
  await a.start([])
  assert.equal((await a.status()).policyVersion, version)
  assert.match((await a.attempt(['policy', 'restart', '--accept-lost-policy'])).stderr, /is not lost/)
})

test('a new policy is newer than every one from before its loss, and a host that returns says which revocations it takes back', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  for (const name of ['one', 'two', 'three']) await a.cli('allow', 'dev.*.*.*', `dev.${name}.*.*`)
  await b.follows(a)
  const before = BigInt((await b.status()).policyVersion ?? 0)
  await Promise.all([a.stop(), b.stop()])
  losePolicy(a)
  await a.start(['--accept-lost-state'])
  await a.cli('policy', 'restart', '--accept-lost-policy')
  assert.ok(BigInt((await a.status()).policyVersion ?? 0) > before * 1_000_000n)
  await b.start(['--bootstrap', (await a.status()).meshAddresses[0] ?? ''])
  await b.follows(a)
  assert.doesNotMatch(await b.cli('policy', 'show'), /leaked/)
  assert.match(b.program.stderr, /"revocations":\["x1 dev\.shop.*began the policy anew/)
})

test('no new policy is begun while a member that was admitted before the loss may still answer', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')
  await b.follows(a)
  await a.stop()
  losePolicy(a)
  await a.start(['--accept-lost-state', '--bootstrap', (await b.status()).meshAddresses[0] ?? ''])
  await a.follows(b)
  // It answers within the same second, so the refusal is the one or the other, and never a new policy.
  const refused = await a.attempt(['policy', 'restart', '--accept-lost-policy'])
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /is not lost|b may know the policy in force/)
  assert.match(await a.cli('policy', 'show'), /leaked/)
})
