import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { DRAIN_MS } from '../../src/cli/up-options.ts'
import { STOP_TIMEOUT_MS } from '../../src/mesh/limits.ts'
import {
  asRoot,
  at,
  needsCommand,
  Program,
  type Scope,
  scopeOf,
  TestAgent,
  WARREN,
  waitFor,
  warren
} from '../harness/index.ts'

const UNITS = join(import.meta.dirname, '..', '..', 'packaging', 'systemd')
const SERVICE = readFileSync(join(UNITS, 'warren.service'), 'utf8')
const AGENT = 61_240
const ONE = 61_241
const OTHER = 61_242
const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** The values of a setting, in order. */
function setting(unit: string, name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].flatMap(([, value = '']) => value.split(' '))
}

/** A copy of a unit that names a program and a user that this machine has. */
function copied(scope: Scope, name: string): string {
  const path = join(scope.directory(), name)
  const text = readFileSync(join(UNITS, name), 'utf8').replaceAll('/usr/local/bin/warren', '/bin/true')
  writeFileSync(path, text.replace(/^User=warren$/m, 'User=daemon').replace(/^Group=warren$/m, 'Group=daemon'))
  return path
}

function analyze(t: TestContext, scope: Scope, ...args: string[]): void {
  // Also where the user has neither.
  const env = { ...process.env, HOME: scope.directory(), XDG_RUNTIME_DIR: scope.directory() }
  try {
    execFileSync('systemd-analyze', args, { env, encoding: 'utf8', stdio: 'pipe' })
  } catch (err) {
    const { stdout, stderr } = err as { stdout: string; stderr: string }
    assert.fail(`systemd-analyze ${args.join(' ')}\n${stdout}${stderr}`)
  }
  t.diagnostic(`systemd-analyze ${args.slice(0, -1).join(' ')}: good`)
}

test('systemd takes the units, and finds that of all users well confined', t => {
  if (!needsCommand(t, 'systemd-analyze')) return
  const scope = scopeOf(t)
  analyze(t, scope, 'verify', copied(scope, 'warren.service'))
  analyze(t, scope, '--user', 'verify', copied(scope, 'warren-user.service'))
  // 10 is a unit without any confinement; in tenths here.
  analyze(t, scope, 'security', '--offline=true', '--threshold=40', copied(scope, 'warren.service'))
})

test('the units give an agent time to drain and to leave before they kill it', () => {
  for (const name of ['warren.service', 'warren-user.service']) {
    const [seconds = '0'] = setting(readFileSync(join(UNITS, name), 'utf8'), 'TimeoutStopSec')
    assert.ok(Number(seconds) * 1_000 >= DRAIN_MS + STOP_TIMEOUT_MS + 5_000, `${name}: ${seconds}`)
  }
})

/** The lines of one section of a unit. */
function section(unit: string, name: string): string[] {
  const [, text = ''] = new RegExp(`^\\[${name}\\]$([^]*?)(?=^\\[|(?![^]))`, 'm').exec(unit) ?? []
  return text.split('\n')
}

test('the units start an agent again however often it ends, and no core dump holds its keys', () => {
  for (const name of ['warren.service', 'warren-user.service']) {
    const unit = readFileSync(join(UNITS, name), 'utf8')
    // systemd ignores a setting in the wrong section, with a warning alone.
    assert.ok(section(unit, 'Unit').includes('StartLimitIntervalSec=0'), name)
    assert.ok(section(unit, 'Service').includes('Restart=always'), name)
    assert.ok(section(unit, 'Service').includes('LimitCORE=0'), name)
  }
})

/** Checks in the kernel's own words that an agent has what the unit gives, and nothing else. */
function confined(agent: TestAgent, uid: number): void {
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8')
  assert.match(status, new RegExp(`^Uid:\\s${uid}\\s${uid}\\s`, 'm'))
  assert.match(status, /^NoNewPrivs:\s1$/m)
  // CHOWN is 0, DAC_OVERRIDE 1, SYS_PTRACE 19.
  for (const set of ['CapEff', 'CapBnd', 'CapPrm'])
    assert.match(status, new RegExp(`^${set}:\\s0000000000080003$`, 'm'))
}

for (const [user, uid] of [
  ['a user of its own', AGENT],
  ['root', 0]
] as const) {
  test(`with the three capabilities of the unit and as ${user}, an agent serves many users`, asRoot, async t => {
    const scope = scopeOf(t)
    const given = setting(SERVICE, 'AmbientCapabilities')
    assert.deepEqual(given, setting(SERVICE, 'CapabilityBoundingSet'))
    const capabilities = given.map(name => name.replace('CAP_', '').toLowerCase())
    const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'], uid, capabilities }).start()
    confined(a, uid)
    chmodSync(dirname(a.runtimeDir), 0o755)

    // Whoever may only run one program: its name and its content are read by the agent, across users.
    const directory = scope.directory()
    chmodSync(directory, 0o755)
    const node = join(directory, 'node')
    copyFileSync(realpathSync(process.execPath), node)
    chmodSync(node, 0o755)
    const root = { uid: 0 }
    const admin = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await a.attempt(args, root)
      assert.equal(code, 0, stderr)
      return stdout
    }
    await admin('entry', 'add', '--uid', String(OTHER), '--exe', node, 'dev.web.*.*')
    await admin('entry', 'add', '--uid', String(ONE), 'dev.shop.*.*')
    await admin('allow', 'dev.*.*.*', 'dev.*.*.*')
    const env = { WARREN_RUNTIME_DIR: a.runtimeDir }
    const serve = new Program(scope, at({ uid: OTHER }, [node, WARREN, 'serve', SITE]), { env })
    await serve.says(/serving/, 'stderr')
    const client = warren(scope, ['connect', SITE, '--as', SHOP], { uid: ONE }, a.runtimeDir)
    await client.says(/connected/, 'stderr')
    client.stdin.write('across users\n')
    await serve.says(/across users/)
    const owners = a.endpointFiles().map(path => statSync(path).uid)
    assert.deepEqual(owners.toSorted(), [ONE, OTHER])

    // Also what another user's process leaves behind is cleared away.
    const listening = a.endpointFiles().find(path => statSync(path).uid === OTHER) ?? ''
    await serve.kill()
    await waitFor(() => !existsSync(dirname(listening)), 'the directory of the server to go')
    assert.equal((await client.outcome()).code, 1)
    assert.equal((await a.stop()).code, 0)
    assert.doesNotMatch(a.program.stderr, /EPERM|EACCES/)
  })
}

test('without any privilege an agent serves its own user, and says to others that it cannot', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, {
    name: 'a',
    args: ['--init', 'example.org'],
    uid: AGENT,
    capabilities: []
  }).start()
  assert.match(readFileSync(`/proc/${a.pid}/status`, 'utf8'), /^CapBnd:\s0000000000000000$/m)
  chmodSync(dirname(a.runtimeDir), 0o755)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await a.cli('entry', 'add', '--uid', String(OTHER), 'dev.web.*.*')
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  const client = a.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  client.stdin.write('of one user\n')
  await serve.says(/of one user/)
  const refused = await warren(scope, ['serve', SITE], { uid: OTHER }, a.runtimeDir).outcome()
  assert.match(refused.stderr, /CANNOT_CONNECT: .*\n?.*must run as root, or as its systemd unit does/)
})
