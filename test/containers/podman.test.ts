import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  asRoot,
  at,
  needsCommand,
  programsForOthers,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor
} from '../harness/index.ts'
import { Probe } from '../integration/support/probe.ts'
import { Podman } from './support/podman.ts'

const skip =
  asRoot.skip === false
    ? process.env['TEST_CONTAINERS'] !== 'yes' && 'is asked for by npm run test:containers'
    : asRoot.skip
const WEB = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const OWNER = 61_280

interface Stage {
  readonly scope: Scope
  readonly a: TestAgent
  readonly share: string
  readonly mounts: readonly string[]
}

async function stage(t: TestContext): Promise<Stage | undefined> {
  if (!needsCommand(t, 'podman')) return undefined
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  const share = join(a.runtimeDir, 'share')
  await a.start(['--init', 'example.org', '--share', share])
  await a.cli('allow', 'dev.*.*.*', 'dev.*.*.*')
  chmodSync(join(a.runtimeDir, '..'), 0o755)
  return { scope, a, share, mounts: [a.adminSocket, `${share}:/run/warren:ro`] }
}

/** Where the containers have the socket of the agent. */
const SOCKET = '/run/warren/agent.sock'

/** As a person would, who is told that a busy host has read too little in time. */
async function register(probe: Probe, more: object = {}, socket = SOCKET): Promise<string> {
  const ask = () => probe.call(socket, 'WorkloadService/Register', { address: WEB, ...more })
  return await waitFor(async () => {
    const answer = await ask()
    return answer.includes('were not read within') ? undefined : answer
  }, 'a look-up that is in time')
}

/** Serves in a container on a path of its own, and connects to it from there by an endpoint. */
async function reaches(server: Probe, client: Probe): Promise<void> {
  await server.ask('serve', { path: '/srv/web.sock', answer: 'from the container' })
  const served = await server.register(SOCKET, { address: WEB, target: { unix: '/srv/web.sock' } })
  assert.ok(served['token'], JSON.stringify(served))
  const { token } = await client.register(SOCKET, { address: SHOP })
  const text = await client.call(SOCKET, 'WorkloadService/Connect', { token, destination: WEB })
  const { path } = JSON.parse(text) as { path?: string }
  assert.ok(path, text)
  assert.deepEqual(await client.ask('open', { path, text: 'x' }), { data: 'from the container' })
}

test('a container of root is what its name, image and runtime say, and another one is not', { skip }, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { scope, a, mounts } = on
  const podman = new Podman(scope)
  const web = await podman.probe('web', mounts)
  const other = await podman.probe('other', mounts)
  await a.cli('entry', 'add', '--runtime', 'podman', '--container', 'web', '--image', await podman.imageId(), WEB)
  await a.cli('entry', 'add', '--container', 'web', SHOP)
  await reaches(web, web)
  assert.match(await register(other), /PERMISSION_DENIED.*its container is other, and the entry asks for web/)
  assert.match(await register(await podman.exec('web')), /"token"/)
  assert.match(await register(await podman.exec('other')), /PERMISSION_DENIED/)

  // A user of the host who is in no container at all.
  const outside = await Probe.start(scope, argv => at({ uid: OWNER }, argv))
  assert.match(await register(outside, {}, a.socket), /PERMISSION_DENIED.*its container is not established/)
  // Nor is who enters the namespaces of the container, since it stays where it was.
  const pid = await podman.run('inspect', '--format', '{{.State.Pid}}', 'web')
  const entered = await Probe.start(scope, argv => ['nsenter', '--target', pid, '--pid', '--', ...argv])
  assert.match(await register(entered, {}, a.socket), /PERMISSION_DENIED.*its container is not established/)

  await a.cli('entry', 'add', '--image', `sha256:${'0'.repeat(64)}`, 'dev.shop.*.*')
  const denied = await register(other, { address: 'dev.shop.own.default' })
  assert.match(
    denied,
    /PERMISSION_DENIED.*its image is sha256:[0-9a-f]{64} or sha256:[0-9a-f]{64}, and the entry asks for/
  )
})

test('a container is in the pod that podman made it in, whatever its image says', { skip }, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { scope, a, mounts } = on
  const podman = new Podman(scope)
  const pod = await podman.pod('shop')
  assert.match(pod, /^[0-9a-f]{64}$/)
  await a.cli('entry', 'add', '--runtime', 'podman', '--pod', pod, WEB)
  const inside = await podman.probe('inside', mounts, ['--pod', 'shop'])
  assert.match(await register(inside), /"token"/)
  // As an image can, whose annotations podman 4 takes over.
  const claims = ['io.kubernetes.cri-o.SandboxID', 'io.container.manager'].flatMap(name => [
    '--annotation',
    `${name}=${name.endsWith('ID') ? pod : 'cri-o'}`
  ])
  const outside = await podman.probe('outside', mounts, claims)
  assert.match(await register(outside), /PERMISSION_DENIED.*its pod is not established/)
})

test('a container that may write to all of its cgroup and to its own runtime state gets no other name', {
  skip
}, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { scope, a, mounts } = on
  const podman = new Podman(scope)
  await a.cli('entry', 'add', '--container', 'web', WEB)
  await podman.probe('web', mounts)
  const id = await podman.run('inspect', '--format', '{{.Id}}', 'web')
  const other = await podman.probe('other', mounts, ['--privileged', '--tmpfs', '/run', '--pids-limit=-1'])
  // It claims to be the other by all that it can write: a state, a cgroup, a name of its host.
  const claims = [
    `mkdir -p /run/crun/${id} /run/containers && echo '{"pid":1,"process-start-time":1,"cgroup-path":""}' > /run/crun/${id}/status`,
    `for c in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir -p $c/libpod-${id} && echo 1 > $c/libpod-${id}/cgroup.procs; done`,
    'hostname web',
    'exit 0'
  ].join('; ')
  await podman.run('exec', 'other', '/bin/sh', '-c', `{ ${claims}; } 2>/dev/null`)
  assert.match(
    await register(other),
    /PERMISSION_DENIED.*its container is (other|not established), and the entry asks for web/
  )
})

test('a container of a user is that user’s, whatever it is called', { skip }, async t => {
  const on = await stage(t)
  if (on === undefined || !needsCommand(t, 'newuidmap')) return
  const { scope, a, share, mounts } = on
  const podman = new Podman(scope, OWNER)
  const web = await podman.probe('web', mounts)
  await a.cli('entry', 'add', '--container', 'web', WEB)
  await a.cli('entry', 'add', '--uid', String(OWNER), 'dev.uid.site.default')
  const denied = await register(web)
  assert.match(denied, /PERMISSION_DENIED.*its container runtime is that of 61280, and the entry asks for that of root/)
  assert.match(
    denied,
    /warren entry add --machine a --uid 61280 --container web --container-user 61280 dev.web.site.default/
  )
  const byUid = await register(web, { address: 'dev.uid.site.default' })
  assert.match(byUid, /PERMISSION_DENIED.*user namespace of its own/)

  const mine = ['entry', 'add', '--container', 'web', '--container-user', String(OWNER)] as const
  await a.cli(...mine, WEB)
  await a.cli(...mine, SHOP)
  await reaches(web, web)
  assert.match(await web.call(a.adminSocket, 'AdminService/ListMembers'), /EACCES|PERMISSION_DENIED/)
  const other = await podman.probe('other', mounts)
  assert.match(await register(other), /PERMISSION_DENIED.*its container is other, and the entry asks for web/)

  // The user's own processes are in no container, and the endpoint of one is for nobody outside of it.
  const outside = await Probe.start(scope, argv => at({ uid: OWNER }, argv))
  assert.match(await register(outside, { address: SHOP }, a.socket), /PERMISSION_DENIED/)
  const { token } = await web.register(SOCKET, { address: SHOP })
  const text = await web.call(SOCKET, 'WorkloadService/Connect', { token, destination: WEB })
  const { path = '' } = JSON.parse(text) as { path?: string }
  assert.match(path, /^\/run\/warren\/endpoints\//)
  const onHost = path.replace('/run/warren', share)
  for (const [probe, at] of [
    [outside, onHost],
    [other, path]
  ] as const)
    assert.notEqual((await probe.ask('open', { path: at, text: 'x' })).data, 'from the container')
})

test('root of a user’s container gets no other name by what it can do from inside', { skip }, async t => {
  const on = await stage(t)
  if (on === undefined || !needsCommand(t, 'newuidmap')) return
  const { a, scope, mounts } = on
  const podman = new Podman(scope, OWNER)
  const web = await podman.probe('web', mounts)
  for (const user of ['0', String(OWNER)]) {
    await a.cli('entry', 'add', '--container', 'web', '--container-user', user, WEB)
  }
  assert.match(await register(web), /"token"/)
  // It may make namespaces and mounts, and sees a /run of its own.
  const more = [
    '--security-opt',
    'seccomp=unconfined',
    '--cap-add',
    'SYS_ADMIN',
    '--tmpfs',
    '/run',
    '--hostname',
    'web'
  ]
  const other = await podman.probe('other', [...mounts, ...(await strangeState(scope, web.program.pid))], more)
  assert.match(await register(other), /PERMISSION_DENIED.*its container is other, and the entry asks for web/)
  for (const flags of [
    ['--user', '--map-root-user'],
    ['--mount', '--pid', '--fork']
  ]) {
    const nested = await podman.exec('other', ['/usr/bin/unshare', ...flags])
    assert.match(await register(nested), /PERMISSION_DENIED/, flags.join(' '))
    assert.doesNotMatch(await register(nested), /its container is web/, flags.join(' '))
  }
})

/** A directory that looks like the state of a runtime, to be mounted where the runtime of the user has its own. */
async function strangeState(scope: Scope, pid: number): Promise<readonly string[]> {
  const directory = scope.directory()
  const status = { pid, 'process-start-time': 1, 'cgroup-path': '', bundle: '/x' }
  for (const id of ['web', 'a'.repeat(64)]) {
    mkdirSync(join(directory, 'crun', id), { recursive: true })
    writeFileSync(join(directory, 'crun', id, 'status'), JSON.stringify(status))
  }
  chmodSync(directory, 0o755)
  return [`${directory}:/run/user/${OWNER}:ro`]
}

test('a sandbox of bubblewrap is no container, whatever it says of itself, and has no grant of its uid', {
  skip
}, async t => {
  const on = await stage(t)
  if (on === undefined || !needsCommand(t, 'bwrap')) return
  const { scope, a, share } = on
  await a.cli('entry', 'add', '--container', 'web', WEB)
  await a.cli('entry', 'add', '--container', 'web', '--container-user', String(OWNER), WEB)
  await a.cli('entry', 'add', '--uid', String(OWNER), SHOP)
  const { node } = programsForOthers()
  const system = ['/usr', '/bin', '/lib', '/lib64', dirname(node)].flatMap(path => ['--ro-bind', path, path])
  const bound = [...system, '--ro-bind', share, '/run/warren', '--proc', '/proc', '--dev', '/dev']
  const claims = ['--hostname', 'web', '--setenv', 'container', 'podman', '--dir', `/run/user/${OWNER}/crun/web`]
  for (const isolation of [['--unshare-all'], ['--unshare-user', '--unshare-pid', '--unshare-uts']]) {
    const sandbox = await Probe.start(scope, ([, ...argv]) =>
      at({ uid: OWNER }, ['bwrap', ...isolation, ...bound, ...claims, node, ...argv])
    )
    for (const address of [WEB, SHOP])
      assert.match(await register(sandbox, { address }), /PERMISSION_DENIED.*user namespace of its own/)
  }
})
