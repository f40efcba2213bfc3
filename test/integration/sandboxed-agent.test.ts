import assert from 'node:assert/strict'
import { chmodSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { asRoot, at, needsCommand, Program, type Scope, scopeOf, TestAgent } from '../harness/index.ts'
import { KINDS } from './support/containers.ts'
import { Probe } from './support/probe.ts'
import { privateTmp, startPackaged, UNIT_CAPABILITIES } from './support/sandbox.ts'

const AGENT = 61_252
const OTHER = 61_253
const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const ROOT = { uid: 0 }

/** A command of root's shell, which must succeed. */
async function byRoot(a: TestAgent, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await a.attempt(args, ROOT)
  assert.equal(code, 0, stderr)
  return stdout
}

/** An agent in the sandbox of its unit. */
async function packaged(t: TestContext, uid = AGENT): Promise<{ scope: Scope; a: TestAgent }> {
  const scope = scopeOf(t)
  const a = await startPackaged(scope, { uid, capabilities: UNIT_CAPABILITIES })
  assert.notEqual(readlinkSync(`/proc/${a.pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'))
  assert.match(readFileSync(`/proc/${a.pid}/mountinfo`, 'utf8'), /^\d+ \d+ \S+ \/ \/ ro,/m, 'it is no sandbox')
  await byRoot(a, 'allow', 'dev.*.*.*', 'dev.*.*.*')
  return { scope, a }
}

async function connectTo(a: TestAgent, probe: Probe, token = ''): Promise<string | undefined> {
  const text = await probe.call(a.socket, 'WorkloadService/Connect', { token, destination: SITE })
  const { path } = JSON.parse(text) as { path?: string }
  assert.ok(path, text)
  return (await probe.ask('open', { path, text: 'x' })).data
}

test(
  'an agent in the sandbox of its unit is commanded and used by a shell of root, and by its own user',
  asRoot,
  async t => {
    const { scope, a } = await packaged(t)
    assert.match(await byRoot(a, 'token', 'create', 'm'), /\S{20}/)
    for (const uid of [0, AGENT]) {
      const probe = await Probe.start(scope, argv => at({ uid }, argv))
      const path = join(scope.directory(), 's')
      chmodSync(dirname(path), 0o777)
      await probe.ask('serve', { path, answer: `served by ${uid}` })
      assert.ok((await probe.register(a.socket, { address: SITE, target: { unix: path } }))['token'])
      const { token } = await probe.register(a.socket, { address: SHOP })
      assert.equal(await connectTo(a, probe, token), `served by ${uid}`)
      assert.match(await probe.fetchJwt(join(a.runtimeDir, 'spiffe.sock')), /"svid":"ey/)
      await probe.program.kill()
    }
  }
)

for (const uid of [0, OTHER]) {
  test(
    `a service of uid ${uid} with a private /tmp serves a socket in it, and not who serves at that path outside`,
    asRoot,
    async t => {
      const { scope, a } = await packaged(t)
      await byRoot(a, 'entry', 'add', '--uid', String(OTHER), 'dev.*.*.*')
      const path = `/var/tmp/wt-${process.pid}.sock`
      scope.defer(() => rmSync(path, { force: true }))
      const outside = await Probe.start(scope, argv => at({ uid }, argv))
      await outside.ask('serve', { path, answer: 'from outside' })
      const enter = await privateTmp(scope)
      const service = await Probe.start(scope, argv => enter(at({ uid }, argv)))
      const address = SITE
      assert.ok((await service.register(a.socket, { address, target: { unix: path } }))['token'])
      await service.ask('serve', { path, answer: 'from its private directory' })
      // It is no container: what is given to its user is given to it, and the other way round.
      const { token } = await service.register(a.socket, { address: SHOP })
      assert.equal(await connectTo(a, service, token), 'from its private directory')
      assert.equal(await connectTo(a, outside, token), 'from its private directory')
    }
  )
}

test(
  'a process without any capability is not the agent’s user because it has its number in a container',
  asRoot,
  async t => {
    if (!needsCommand(t, 'crun')) return
    const { scope, a } = await packaged(t)
    const mounts = [a.socket, a.adminSocket]
    const inside = await Probe.start(scope, argv => KINDS.crun(scope, { uid: AGENT, mounts }, argv))
    const denied = await inside.call(a.socket, 'WorkloadService/Register', { address: SITE })
    assert.match(
      denied,
      new RegExp(`PERMISSION_DENIED: no entry grants .* to uid ${AGENT}; .*pid namespace of its own`)
    )
    assert.match(
      await inside.call(a.adminSocket, 'AdminService/ListMembers'),
      /PERMISSION_DENIED.*pid namespace of its own/
    )
  }
)

test(
  'an agent that may not look at other users’ processes takes none for root’s, and serves them by entries',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const capabilities = UNIT_CAPABILITIES.filter(name => name !== 'sys_ptrace')
    const a = await new TestAgent(scope, {
      name: 'a',
      args: ['--init', 'example.org'],
      uid: AGENT,
      capabilities
    }).start()
    chmodSync(dirname(a.runtimeDir), 0o755)
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await a.cli('entry', 'add', '--uid', String(OTHER), 'dev.*.*.*')
    const root = await Probe.start(scope)
    const denied = await root.call(a.socket, 'WorkloadService/Register', { address: SITE })
    assert.match(
      denied,
      /PERMISSION_DENIED: .*has a root directory that this agent may not read, for want of CAP_SYS_PTRACE/
    )
    const { code, stderr } = await a.attempt(['members'], ROOT)
    assert.equal(code, 1)
    assert.match(stderr, /PERMISSION_DENIED: uid 0 of a process that has a root directory that this agent may not read/)

    const other = await Probe.start(scope, argv => at({ uid: OTHER }, argv))
    const own = await other.call(a.socket, 'WorkloadService/Register', { address: SITE, target: { unix: '/tmp/any' } })
    assert.match(own, /PERMISSION_DENIED: this agent may not look at the files of process/)
    const { listenPath } = await other.register(a.socket, { address: SITE, target: { listen: {} } })
    await other.ask('serve', { path: listenPath, answer: 'where the agent says' })
    const { token } = await other.register(a.socket, { address: SHOP })
    assert.equal(await connectTo(a, other, token), 'where the agent says')
    // A container of that uid is told apart by its pid namespace, which everybody may know.
    if (!needsCommand(t, 'crun')) return
    const mounts = [a.socket, join(a.runtimeDir, 'endpoints')]
    const inside = await Probe.start(scope, argv => KINDS.crun(scope, { uid: OTHER, mounts, network: 'host' }, argv))
    assert.match(await inside.call(a.socket, 'WorkloadService/Heartbeat', { token }), /INVALID_SOURCE/)
  }
)

test('a command by root’s shell in a container of its own is refused, and says what to do', asRoot, async t => {
  const { scope, a } = await packaged(t)
  const argv = at(ROOT, [process.execPath, join(import.meta.dirname, '..', '..', 'bin', 'warren.js'), 'members'])
  const env = { WARREN_RUNTIME_DIR: a.runtimeDir }
  const nested = await new Program(scope, ['unshare', '--pid', '--fork', '--mount-proc', ...argv], { env }).outcome()
  assert.equal(nested.code, 1)
  assert.match(nested.stderr, /PERMISSION_DENIED: uid 0 of a process that is in a pid namespace of its own/)
  assert.match(nested.stderr, /outside of any container/)
})
