import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { tryLock } from '../../src/core/index.ts'
import { asRoot, needsCommand, scopeOf, TestAgent } from '../harness/index.ts'
import { KINDS } from './support/containers.ts'
import { Probe } from './support/probe.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const HOST = 'dev.host.cart.default'
/** Where the containers have the directory, which is elsewhere on the host. */
const INSIDE = '/srv/warren'
const AGENT = join(INSIDE, 'agent.sock')

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
let share: string
let a: TestAgent
let host: Probe
let inside: Probe

before(async () => {
  if (asRoot.skip !== false) return
  a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  share = join(a.runtimeDir, 'share')
  await a.start(options())
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await a.cli('entry', 'add', '--uid', '0', 'dev.{web,shop}.*.*')
  host = await Probe.start(scope)
})

function options(): readonly string[] {
  return ['--init', 'example.org', '--share', share]
}

async function container(): Promise<Probe> {
  const binds = [
    { from: share, at: INSIDE, readOnly: true },
    { from: join(share, 'w'), at: join(INSIDE, 'w') }
  ]
  return await Probe.start(scope, argv => KINDS.crun(scope, { mounts: [], binds }, argv))
}

async function connect(probe: Probe, socket: string, address: string, destination = SITE): Promise<string> {
  const { token } = await probe.register(socket, { address })
  const text = await probe.call(socket, 'WorkloadService/Connect', { token, destination })
  return (JSON.parse(text) as { path?: string }).path ?? text
}

test('the directory for containers has the sockets of workloads, and none of the operator', asRoot, () => {
  assert.deepEqual(
    readdirSync(share)
      .filter(name => !name.startsWith('.'))
      .sort(),
    ['agent.sock', 'endpoints', 'spiffe.sock', 'staging', 'w']
  )
  assert.ok(existsSync(a.adminSocket) && existsSync(a.socket))
  assert.equal(statSync(share).mode & 0o777, 0o755)
})

test('a container serves and connects by the directory, and gets the paths that it sees', asRoot, async t => {
  if (!needsCommand(t, 'crun')) return
  inside = await container()
  const served = await inside.register(AGENT, { address: SITE, target: { listen: {} } })
  const { listenPath = '' } = served
  assert.match(listenPath, /^\/srv\/warren\/w\/[0-9a-f]{18}\/s$/, JSON.stringify(served))
  assert.deepEqual(await inside.ask('serve', { path: listenPath, answer: 'from inside' }), {})

  const mine = await connect(inside, AGENT, SHOP)
  assert.match(mine, /^\/srv\/warren\/endpoints\/[0-9a-f]{24}$/)
  assert.deepEqual(await inside.ask('open', { path: mine, text: 'x' }), { data: 'from inside' })
  assert.match(await inside.fetchJwt(join(INSIDE, 'spiffe.sock')), /"svid":"ey/)

  // A program of the host has the paths of the host, by either socket.
  for (const socket of [a.socket, join(share, 'agent.sock')]) {
    const theirs = await connect(host, socket, HOST)
    assert.ok(theirs.startsWith(join(share, 'endpoints')), theirs)
    assert.deepEqual(await host.ask('open', { path: theirs, text: 'x' }), { data: 'from inside' })
  }
  // What is in the directory is the same for all containers, and each socket in it is for one user in one container.
  const other = await container()
  assert.equal((await other.ask('open', { path: mine, text: 'x' })).data, '')
})

test('a link in the place of its socket leads from a container to no other server', asRoot, async t => {
  if (!needsCommand(t, 'crun')) return
  const secret = join(scope.directory(), 'secret.sock')
  await host.ask('serve', { path: secret, answer: 'what only the host may hear' })
  const other = await container()
  const address = 'dev.web.link.default'
  const { listenPath } = await other.register(AGENT, { address, target: { listen: {} } })
  await other.ask('link', { to: secret, path: listenPath })
  const { code, stdout, stderr } = await a.attempt(['connect', address, '--as', SHOP])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /DESTINATION_UNREACHABLE/)
  // Nor is a socket of the agent a server.
  for (const unix of [AGENT, join(INSIDE, 'spiffe.sock')]) {
    const denied = await other.call(AGENT, 'WorkloadService/Register', { address, target: { unix } })
    assert.match(denied, /PERMISSION_DENIED: .*is a socket of the agent itself/, unix)
  }
})

test(
  'the directory stays the same when the agent is started again, for containers that have it, whoever holds a lock of it',
  asRoot,
  async t => {
    if (!needsCommand(t, 'crun')) return
    const { ino } = statSync(share)
    // Whoever has the directory can lock it, also by a mount that is read-only. A kill leaves sockets there.
    const directory = openSync(share, 'r')
    t.after(() => closeSync(directory))
    assert.ok(await tryLock(directory))
    await a.kill()
    await a.start(options())
    assert.equal(statSync(share).ino, ino)
    const { listenPath } = await inside.register(AGENT, { address: SITE, target: { listen: {} } })
    await inside.ask('serve', { path: listenPath, answer: 'after the start' })
    const path = await connect(inside, AGENT, SHOP)
    assert.deepEqual(await inside.ask('open', { path, text: 'x' }), { data: 'after the start' })
  }
)
