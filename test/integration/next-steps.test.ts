import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, Program, type Scope, scopeOf, TestAgent, WARREN } from '../harness/index.ts'
import { upOn } from './support/up-on.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

async function start(scope: Scope): Promise<TestAgent> {
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
  return a
}

/** Runs a command where `mounts`, a script of the shell, has changed what it sees of the host's files. */
async function seen(scope: Scope, a: TestAgent, mounts: string, ...args: string[]) {
  const script = `set -e; R="$1"; shift; ${mounts}; exec "$@"`
  const command = [process.execPath, WARREN, ...args, '--runtime-dir', a.runtimeDir]
  const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', a.runtimeDir, ...command]
  const program = new Program(scope, argv)
  program.stdin.end()
  return await program.outcome()
}

const READ_ONLY = 'mount --bind "$R" "$R"; mount -o remount,bind,ro "$R"'
const ONLY_AGENT_SOCK =
  'T=$(mktemp -d); touch "$T/agent.sock"; mount --bind "$R/agent.sock" "$T/agent.sock"; mount --rbind "$T" "$R"'

test('where directories of the agent are not mounted, or read-only, the error says what to mount', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  const readOnly = await seen(scope, a, READ_ONLY, 'serve', SITE)
  assert.equal(readOnly.code, 1)
  assert.match(
    readOnly.stderr,
    /CANNOT_CONNECT: cannot bind \S+: EROFS\n {2}\S+ is mounted read-only here: mount it writable/
  )

  a.spawn(['serve', SITE])
  await a.knows(SITE)
  const unmounted = await seen(scope, a, ONLY_AGENT_SOCK, 'connect', SITE, '--as', SHOP)
  assert.match(
    unmounted.stderr,
    /CANNOT_CONNECT: the endpoint does not answer: ENOENT\n {2}\S+endpoints\S* is not there for this process: .*read-only and under the same path/
  )
})

test('a socket that alone is missing is named, and the agent is not said to be away', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  const fetch = ['svid', 'fetch', SITE, '--out', join(scope.directory(), 'svid')]
  for (const [socket, args] of [
    ['spiffe.sock', fetch],
    ['admin.sock', ['explain', SHOP, SITE]]
  ] as const) {
    const { stderr } = await seen(scope, a, ONLY_AGENT_SOCK, ...args)
    const path = join(a.runtimeDir, socket)
    assert.ok(
      stderr.includes(`NOT_FOUND: the agent runs (agent.sock answers), but ${path} is not there\n  In a`),
      stderr
    )
  }
  await a.stop()
  assert.match((await a.attempt(['explain', SHOP, SITE])).stderr, /AGENT_NOT_RUNNING.*\n.*warren up/)
})

test('a start that can only end in NOT_INITIALIZED leaves nothing behind', async t => {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 's')
  const outcome = await upOn(scope, path)
  assert.ok(outcome !== 'ready')
  assert.match(outcome.stderr, /NOT_INITIALIZED/)
  assert.equal(existsSync(path), false)
  const empty = scope.directory()
  assert.notEqual(await upOn(scope, empty), 'ready')
  assert.deepEqual(readdirSync(empty), [])
})

test('a policy.bundle that was lost beside its database is made again, which is said once', async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  await a.stop()
  rmSync(join(a.stateDir, 'policy.bundle'))
  await a.start([])
  assert.match(a.program.stderr, /"level":40.*policy\.bundle was missing; it is made again from the database/)
  await a.stop()
  await a.start([])
  assert.doesNotMatch(a.program.stderr, /was missing/)
})

test('explain says that a workload is draining', async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  a.spawn(['serve', SITE])
  await a.knows(SITE)
  await a.cli('drain', '--timeout', '1s')
  assert.match((await a.attempt(['explain', SHOP, SITE])).stdout, /registered on a, draining: no new connections/)
})

test('a token or a process of another user, and nobody, are told a next step that fits', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  await new Program(scope, ['chmod', '755', join(a.runtimeDir, '..')]).outcome()
  await a.cli('entry', 'add', '--uid', '61400', 'dev.*.*.*')
  const { token } = JSON.parse(await a.cli('register', SITE, '--pid', String(process.pid))) as { token: string }
  const foreign = a.spawn(['deregister', token], { uid: 61_400 })
  assert.match(
    (await foreign.outcome()).stderr,
    /INVALID_SOURCE.*\n {2}It may have ended already, or another user made it/
  )
  const parent = a.spawn(['register', SHOP, '--pid', String(process.pid)], { uid: 61_400 })
  assert.match((await parent.outcome()).stderr, /INVALID_SOURCE.*another user's\n {2}It must run as uid 61400/)
  const nobody = a.spawn(['serve', SHOP], { uid: 65_534 })
  assert.match(
    (await nobody.outcome()).stderr,
    /PERMISSION_DENIED.*\n {2}On the host: run the program as a user of its own/
  )
})

test('a refusal names what the nearest entry asks for, and suggests an entry as narrow', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  await new Program(scope, ['chmod', '755', join(a.runtimeDir, '..')]).outcome()
  await a.cli('entry', 'add', '--uid', '61400', '--cgroup', '/other.slice/shop', 'dev.shop.*.*')
  const refused = a.spawn(['serve', SHOP], { uid: 61_400 })
  const { stderr } = await refused.outcome()
  assert.match(stderr, /its cgroup is (\S+), and the entry asks for \/other\.slice\/shop\n/)
  const cgroup = /its cgroup is (\S+), and/.exec(stderr)?.[1] ?? ''
  assert.ok(
    stderr.includes(`warren entry add --machine a --uid 61400 --cgroup ${cgroup} dev.shop.cart.default\n`),
    stderr
  )
})

test('a host that is evicted twice has one revocation, and the second command changes nothing', async t => {
  const scope = scopeOf(t)
  const a = await start(scope)
  const first = (await a.cli('evict', 'c', '--force')).trim()
  const version = (await a.status()).policyVersion
  assert.equal((await a.cli('evict', 'c')).trim(), first)
  assert.equal((await a.status()).policyVersion, version)
  await a.cli('evict', 'c', '--force')
  const { revocations } = JSON.parse(await a.cli('policy', 'show', '--json')) as { revocations: unknown[] }
  assert.equal(revocations.length, 1)
})
