import assert from 'node:assert/strict'
import { readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { asRoot, at, needsCommand, Program, type Scope, scopeOf, TestAgent } from '../harness/index.ts'
import { KINDS, type Kind, PROGRAMS } from './support/containers.ts'
import { Probe } from './support/probe.ts'

const OWNER = 61_250
const SITE = 'dev.web.site.default'
const INSIDE = 'dev.inside.site.default'
const SHOP = 'dev.shop.cart.default'

interface Stage {
  readonly scope: Scope
  readonly a: TestAgent
  readonly spiffe: string
  /** What is mounted into containers: more than anybody should. */
  readonly mounts: readonly string[]
  /** Root on the host. It serves SITE, which answers "from the host". */
  readonly host: Probe
}

/** An agent that runs as root, and whatever a container may have of it. */
async function stage(t: TestContext): Promise<Stage> {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  const spiffe = join(a.runtimeDir, 'spiffe.sock')
  const mounts = [a.socket, a.adminSocket, spiffe, join(a.runtimeDir, 'endpoints'), join(a.runtimeDir, 'w')]
  const host = await Probe.start(scope)
  const path = join(scope.directory(), 'site.sock')
  await host.ask('serve', { path, answer: 'from the host' })
  const { token } = await host.register(a.socket, { address: SITE, target: { unix: path } })
  assert.ok(token)
  return { scope, a, spiffe, mounts, host }
}

async function enter(
  { scope, mounts }: Stage,
  kind: Kind,
  more: { uid?: number; network?: 'host'; name?: string } = {}
) {
  return await Probe.start(scope, argv => KINDS[kind](scope, { mounts, ...more }, argv))
}

/** A new endpoint for a registration. */
async function endpointOf(probe: Probe, a: TestAgent, token = '', destination = SITE): Promise<string> {
  const text = await probe.call(a.socket, 'WorkloadService/Connect', { token, destination })
  return (JSON.parse(text) as { path?: string }).path ?? text
}

for (const kind of Object.keys(KINDS) as Kind[]) {
  const ownNetwork = kind !== 'unshare -p alone'

  test(`root of a container has nothing of what root of the host has: ${kind}`, asRoot, async t => {
    if (!needsCommand(t, PROGRAMS[kind])) return
    const on = await stage(t)
    const { a, host, spiffe } = on
    const { token } = await host.register(a.socket, { address: SHOP })
    const inside = await enter(on, kind)

    const denied = await inside.call(a.socket, 'WorkloadService/Register', { address: INSIDE })
    assert.match(denied, /PERMISSION_DENIED: no entry grants .* to uid 0; .*is in a pid namespace of its own/)
    for (const method of ['CreateToken', 'ListMembers', 'ListTokens', 'GetMetrics']) {
      assert.match(
        await inside.call(a.adminSocket, `AdminService/${method}`),
        /PERMISSION_DENIED.*pid namespace/,
        method
      )
    }

    // What root registered on the host is another user's.
    for (const [method, more] of [['Connect', { destination: SITE }], ['Heartbeat'], ['Deregister']] as const) {
      const answer = await inside.call(a.socket, `WorkloadService/${method}`, { token, ...more })
      assert.match(answer, /INVALID_SOURCE: no registered workload of yours/, method)
    }
    assert.equal(await inside.call(a.socket, 'WorkloadService/Inspect'), '{}')
    assert.match(await inside.fetchJwt(spiffe), /no identity is registered/)
    assert.match(await host.fetchJwt(spiffe), /"svid":"ey/)

    // A path that it sees, of a socket that its uid may open.
    const path = await endpointOf(host, a, token)
    assert.equal((await inside.ask('open', { path, text: 'x' })).data, '')
    await a.program.says(/pid namespace.*another user connected to an endpoint/, 'stderr')
    assert.deepEqual(await host.ask('open', { path, text: 'x' }), { data: 'from the host' })
  })

  test(`an entry for the uid of a container grants to it: ${kind}`, asRoot, async t => {
    if (!needsCommand(t, PROGRAMS[kind])) return
    const on = await stage(t)
    const { a, host, spiffe } = on
    await a.cli('entry', 'add', '--uid', '0', 'dev.inside.*.*')
    const inside = await enter(on, kind)

    // A socket where the agent says, and one of its own choice, which on the host is somebody else's.
    const listening = await inside.register(a.socket, { address: INSIDE, target: { listen: {} } })
    await inside.ask('serve', { path: listening['listenPath'], answer: 'from inside' })
    const path = `/srv/wt-${process.pid}.sock`
    const own = 'dev.inside.own.default'
    await inside.ask('serve', { path, answer: 'from its own directory' })
    const target = { unix: path }
    assert.ok((await inside.register(a.socket, { address: own, target }))['token'])

    const { token } = await host.register(a.socket, { address: SHOP })
    for (const [destination, answer] of [
      [INSIDE, 'from inside'],
      [own, 'from its own directory']
    ] as const) {
      const endpoint = await endpointOf(host, a, token, destination)
      assert.deepEqual(await host.ask('open', { path: endpoint, text: 'x' }), { data: answer })
    }

    // It is a client as well, and its endpoint is nobody else’s.
    const client = await inside.register(a.socket, { address: 'dev.inside.client.default' })
    const endpoint = await endpointOf(inside, a, client['token'])
    assert.equal((await host.ask('open', { path: endpoint, text: 'x' })).data, '')
    assert.deepEqual(await inside.ask('open', { path: endpoint, text: 'x' }), { data: 'from the host' })
    assert.match(await host.call(a.socket, 'WorkloadService/Deregister', { token: client['token'] }), /INVALID_SOURCE/)
    assert.match(await inside.fetchJwt(spiffe), /"svid":"ey/)
    assert.match(await inside.call(a.socket, 'WorkloadService/Inspect'), /dev\.inside\.client/)

    // Numbers of processes are others there, and so are ports.
    const byPid = { address: INSIDE, ownerPid: host.program.pid }
    assert.match(await inside.call(a.socket, 'WorkloadService/Register', byPid), /INVALID_ARGUMENT.*cannot be named/)
    const { port } = await host.ask('port', { answer: 'from the loopback interface of the host' })
    for (const protocol of ['tcp', 'udp']) {
      const byPort = { address: INSIDE, target: { [protocol]: `127.0.0.1:${port}` } }
      const answer = await inside.call(a.socket, 'WorkloadService/Register', byPort)
      assert.match(answer, ownNetwork ? /PERMISSION_DENIED: the ports of this host are not those/ : /"token"/, protocol)
    }
  })
}

test('a container is the one that its entry names, and no other process of its uid is', asRoot, async t => {
  if (!needsCommand(t, 'crun')) return
  const on = await stage(t)
  const { scope, a } = on
  const [name, otherName] = [`wt-web-${process.pid}`, `wt-other-${process.pid}`]
  for (const one of [name, otherName])
    scope.defer(() => new Program(scope, ['crun', 'delete', '--force', one]).outcome())
  await a.cli('entry', 'add', '--runtime', 'crun', '--container', name, 'dev.inside.*.*')
  const web = await enter(on, 'crun', { name })
  const other = await enter(on, 'crun', { name: otherName })
  assert.ok((await web.register(a.socket, { address: INSIDE }))['token'])
  const denied = await other.call(a.socket, 'WorkloadService/Register', { address: INSIDE })
  assert.match(denied, new RegExp(`PERMISSION_DENIED.*its container is ${otherName}, and the entry asks for ${name}`))
  const nested = await Probe.start(scope, argv => ['unshare', '--pid', '--fork', '--kill-child', ...argv])
  assert.match(await nested.call(a.socket, 'WorkloadService/Register', { address: INSIDE }), /is not established/)
  // The entry is for that container alone: when it is removed, the registration ends.
  const { token = '' } = await web.register(a.socket, { address: INSIDE })
  const { entries } = JSON.parse(await a.cli('entry', 'list', '--json')) as { entries: { id: string }[] }
  await a.cli('entry', 'remove', entries[0]?.id ?? '')
  assert.match(await web.call(a.socket, 'WorkloadService/Heartbeat', { token }), /INVALID_SOURCE/)
})

test('a container that may become any user is none of the host’s users', asRoot, async t => {
  if (!needsCommand(t, 'crun')) return
  const on = await stage(t)
  const { scope, a } = on
  await a.cli('entry', 'add', '--uid', String(OWNER), SHOP)
  await new Program(scope, ['chmod', '755', join(a.runtimeDir, '..')]).outcome()
  const owner = await Probe.start(scope, argv => at({ uid: OWNER }, argv))
  const { token } = await owner.register(a.socket, { address: SHOP })
  const path = await endpointOf(owner, a, token)
  const inside = await enter(on, 'crun', { network: 'host' })
  await inside.ask('become', { uid: OWNER })
  assert.equal((await inside.ask('open', { path, text: 'x' })).data, '')
  assert.deepEqual(await owner.ask('open', { path, text: 'x' }), { data: 'from the host' })
  assert.match(await inside.call(a.socket, 'WorkloadService/Heartbeat', { token }), /INVALID_SOURCE/)
})

test('a process without a network reaches no port of the host through the agent', asRoot, async t => {
  const on = await stage(t)
  const { scope, a, host } = on
  const { port } = await host.ask('port', { answer: 'from the loopback interface' })
  const alone = await Probe.start(scope, argv => ['unshare', '--net', ...argv])
  for (const protocol of ['tcp', 'udp']) {
    const input = { address: INSIDE, target: { [protocol]: `127.0.0.1:${port}` } }
    assert.match(
      await alone.call(a.socket, 'WorkloadService/Register', input),
      /PERMISSION_DENIED: the ports of this host/
    )
  }
  // It is a process of the host in everything else.
  assert.ok((await alone.register(a.socket, { address: INSIDE, target: { listen: {} } }))['token'])
  assert.ok((await host.register(a.socket, { address: INSIDE, target: { tcp: `127.0.0.1:${port}` } }))['token'])
})

test('a process below another root directory is none of the host, though it is in no container', asRoot, async t => {
  const on = await stage(t)
  const { scope, a, mounts } = on
  // Its pid namespace is that of the host.
  const below = (argv: readonly string[]): string[] => {
    const rooted = KINDS['unshare with a root of its own'](scope, { mounts, network: 'host' }, argv)
    return rooted.filter(part => part !== '--pid' && part !== '--fork' && part !== '--kill-child')
  }
  const inside = await Probe.start(scope, below)
  assert.match(readFileSync(`/proc/${inside.program.pid}/status`, 'utf8'), /^NSpid:\t\d+$/m)
  const denied = await inside.call(a.socket, 'WorkloadService/Register', { address: INSIDE })
  assert.match(denied, /PERMISSION_DENIED.*has a root directory of its own/)
  assert.match(
    await inside.call(a.adminSocket, 'AdminService/ListMembers'),
    /PERMISSION_DENIED.*root directory of its own/
  )
})

test('no link in a listening directory leads from a container to a server of root on the host', asRoot, async t => {
  if (!needsCommand(t, 'crun')) return
  const on = await stage(t)
  const { scope, a, host } = on
  await a.cli('entry', 'add', '--uid', '0', INSIDE)
  const path = join(scope.directory(), 'secret.sock')
  await host.ask('serve', { path, answer: 'what only root of the host may hear' })
  const inside = await enter(on, 'crun')
  const { listenPath } = await inside.register(a.socket, { address: INSIDE, target: { listen: {} } })
  await inside.ask('link', { to: path, path: listenPath })
  const { code, stdout, stderr } = await a.attempt(['connect', INSIDE, '--as', SHOP])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /DESTINATION_UNREACHABLE/)
})

test(
  'root of a container takes over no listening socket of root of the host, though it may write to its directory',
  asRoot,
  async t => {
    if (!needsCommand(t, 'crun')) return
    const on = await stage(t)
    const { a, host } = on
    const { listenPath } = await host.register(a.socket, { address: INSIDE, target: { listen: {} } })
    const { token } = await host.register(a.socket, { address: SHOP })
    await host.ask('serve', { path: listenPath, answer: 'from the host' })
    const path = await endpointOf(host, a, token, INSIDE)
    assert.deepEqual(await host.ask('open', { path, text: 'x' }), { data: 'from the host' })
    const inside = await enter(on, 'crun')
    await inside.ask('remove', { path: listenPath })
    assert.deepEqual(await inside.ask('serve', { path: listenPath, answer: 'from inside' }), {})
    assert.equal((await host.ask('open', { path, text: 'x' })).data, '')
    const { code, stderr } = await a.attempt(['connect', INSIDE, '--as', SHOP])
    assert.equal(code, 1)
    assert.match(stderr, /DESTINATION_UNREACHABLE: .*(served from another container|is failing)/)
  }
)

test(
  'no unix target leads to the agent itself, through whatever link and whenever it is put there',
  asRoot,
  async t => {
    const on = await stage(t)
    const { scope, a, host, spiffe } = on
    const client = await host.register(a.socket, { address: SHOP })
    const endpoint = await endpointOf(host, a, client['token'])
    const directory = scope.directory()
    for (const [name, socket] of Object.entries({ agent: a.socket, admin: a.adminSocket, spiffe, endpoint })) {
      const link = join(directory, name)
      symlinkSync(socket, link)
      for (const path of [socket, link]) {
        const answer = await host.call(a.socket, 'WorkloadService/Register', {
          address: INSIDE,
          target: { unix: path }
        })
        assert.match(answer, /PERMISSION_DENIED: .*is a socket of the agent itself/, path)
      }
      // Registered first, and linked then.
      const late = join(directory, `${name}.late`)
      const address = `dev.inside.${name}.default`
      const registered = await host.register(a.socket, {
        address,
        target: { unix: late },
        healthCheck: 'HEALTH_CHECK_OFF'
      })
      assert.ok(registered['token'], JSON.stringify(registered))
      await host.ask('link', { to: socket, path: late })
      const { code, stdout, stderr } = await a.attempt(['connect', address, '--as', SHOP])
      assert.deepEqual([code, stdout], [1, ''], name)
      assert.match(stderr, /DESTINATION_UNREACHABLE: .*one of the agent’s own/, name)
    }
  }
)

test('no unix target leads through /proc into what another process sees', asRoot, async t => {
  const on = await stage(t)
  const { scope, a, host } = on
  const path = join(scope.directory(), 'other.sock')
  await host.ask('serve', { path, answer: 'not for everybody' })
  const through = `/proc/${process.pid}/root${path}`
  for (const unix of [through, `/proc/1/root${path}`, '/proc/self/fd/0', '/proc/self/cwd/s']) {
    const answer = await host.call(a.socket, 'WorkloadService/Register', { address: INSIDE, target: { unix } })
    assert.match(answer, /INVALID_ARGUMENT: .*through another process|PERMISSION_DENIED: .*may not reach/, unix)
  }
  const link = join(scope.directory(), 'link.sock')
  const target = { unix: link }
  assert.ok((await host.register(a.socket, { address: INSIDE, target }))['token'])
  await host.ask('link', { to: through, path: link })
  const { code, stdout, stderr } = await a.attempt(['connect', INSIDE, '--as', SHOP])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /DESTINATION_UNREACHABLE: .*ELOOP|is failing/)
  // A path of its own is followed, links and all.
  await host.ask('link', { to: path, path: link })
  const address = 'dev.inside.linked.default'
  assert.ok((await host.register(a.socket, { address, target }))['token'])
  const client = await host.register(a.socket, { address: SHOP })
  const endpoint = await endpointOf(host, a, client['token'], address)
  assert.deepEqual(await host.ask('open', { path: endpoint, text: 'x' }), { data: 'not for everybody' })
})
