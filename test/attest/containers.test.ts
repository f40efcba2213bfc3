import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, lchownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { readDocker } from '../../src/attest/containers/docker.ts'
import { ContainerFinder, findContainer } from '../../src/attest/containers/index.ts'
import { membersOf } from '../../src/attest/containers/json.ts'
import { isBelow, isContainerName, namesInCgroup, podOf } from '../../src/attest/containers/membership.ts'
import { listContainers, stateDirectories } from '../../src/attest/containers/oci-state.ts'
import { Attestor, processHandle, processReader } from '../../src/attest/index.ts'
import { apparmorProfile, labelsOf, selinuxContext } from '../../src/attest/labels.ts'
import { systemClock } from '../../src/core/index.ts'
import { asRoot, temporaryDirectory } from '../harness/index.ts'

const OWNER = 61_270
const OTHER = 61_271
const IMAGE = 'd'.repeat(64)
const MANIFEST = `sha256:${'e'.repeat(64)}`
const POD = 'f'.repeat(64)

const NESTED = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const

/** A process that runs `argv` until the test ends; its first child, if `argv` makes a pid namespace. */
async function running(t: TestContext, ...argv: readonly string[]): Promise<number> {
  const [command = '', ...args] = [...argv, '/bin/sh', '-c', 'echo begun; exec sleep 600']
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const pid = child.pid ?? 0
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return first === undefined || first === '' ? pid : Number(first)
}

/** As a user does who makes containers without being root. */
function asUser(uid: number): string[] {
  const as = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--']
  return [...as, 'unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child']
}

interface Made {
  readonly pid: number
  readonly cgroup?: string
  readonly name?: string
  readonly uid?: number
  readonly startTime?: number
  /** What the manager wrote about it. */
  readonly metadata?: object
}

/** The state of a runtime, as crun and podman write it. */
class Runtime {
  readonly state: string
  readonly #root: string

  constructor(t: TestContext) {
    this.#root = temporaryDirectory('wt-runtime-')
    chmodSync(this.#root, 0o755)
    t.after(() => rmSync(this.#root, { recursive: true }))
    this.state = join(this.#root, 'crun')
  }

  path(...parts: readonly string[]): string {
    return join(this.#root, ...parts)
  }

  write(path: string, value: object, uid = 0): void {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify(value), { mode: 0o600 })
    chownSync(path, uid, uid)
  }

  add(id: string, { pid, cgroup = '', name = 'web', uid = 0, startTime = startTimeOf(pid), metadata }: Made): void {
    const bundle = this.path('store', 'overlay-containers', id, 'userdata')
    const status = { pid, 'process-start-time': startTime, 'cgroup-path': cgroup, bundle }
    this.write(join(this.state, id, 'status'), status, uid)
    for (const path of [this.#root, this.state]) chownSync(path, uid, uid)
    const container = { id, names: [name], image: IMAGE, metadata: JSON.stringify({ name, ...metadata }) }
    this.write(this.path('store', 'overlay-containers', 'containers.json'), [container], uid)
    const image = { id: IMAGE, digest: MANIFEST, 'big-data-digests': { manifest: MANIFEST, other: 'x' } }
    this.write(this.path('store', 'overlay-images', 'images.json'), [image], uid)
  }

  async find(pid: number, uid = 0) {
    return await findContainer(pid, uid, { directories: [this.state], monotonicMs: () => 0 })
  }
}

function startTimeOf(pid: number): number {
  return Number(/\) (.*)\n/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]?.split(' ')[19])
}

test('the cgroup of a container is left by nobody upwards, and what is renamed below it changes nothing', () => {
  const at = '/machine.slice/libpod-1.scope'
  const v2 = (path: string): string => `0::${path}\n`
  for (const inside of [at, `${at}/container`, `${at}/libpod-2.scope`, `${at}/user.slice/x`])
    assert.ok(isBelow(v2(inside), [at]), inside)
  const outside = [
    '/',
    '/machine.slice',
    `${at}x`,
    `/user.slice/user-1000.slice${at}`,
    '/../libpod-1.scope',
    `${at}/../x`
  ]
  for (const path of outside) assert.ok(!isBelow(v2(path), [at]), path)
  // Version 1: all of the hierarchies must agree in which it is anywhere.
  const v1 = (...paths: readonly string[]): string =>
    paths.map((path, index) => `${index + 1}:c${index}:${path}\n`).join('')
  assert.ok(isBelow(v1(at, `${at}/x`, '/'), [at]))
  assert.ok(isBelow(`${v1(at, '/')}${v2('/')}`, [at]))
  assert.ok(!isBelow(v1(at, '/user.slice'), [at]))
  assert.ok(!isBelow(v1('/', '/'), [at]))
  assert.ok(!isBelow(`${v1(at)}${v2('/user.slice')}`, [at]))
  // A version 2 decides alone where the container has a place in it.
  assert.ok(isBelow(`${v1('/session')}${v2(at)}`, [at]))
  for (const place of ['/', 'relative', '/a/../b']) assert.ok(!isBelow(v2('/a/b'), [place]), place)
  assert.ok(!isBelow('', [at]))
  assert.ok(isBelow(v1('/a/c', '/c'), ['/a/c', '/c']))
  assert.ok(!isBelow(v1('/a/c', '/b/c'), ['/a/c', '/c']))
})

test('the name of a container is looked for in a cgroup, and never leads out of the state of the runtime', () => {
  assert.deepEqual(namesInCgroup('0::/machine.slice/libpod-12ab.scope/container\n'), [
    'machine.slice',
    'libpod-12ab',
    '12ab',
    'container'
  ])
  assert.deepEqual(namesInCgroup('0::/x/../..\n'), ['x'])
  // Containerd without systemd, below a kubelet with it.
  assert.deepEqual(namesInCgroup('0::/system.slice/kubepods-pod1.slice:cri-containerd:34cd\n'), [
    'system.slice',
    '34cd'
  ])
  for (const name of ['..', '.', '', 'a/b', '-x', 'ü', 'x'.repeat(256)]) assert.ok(!isContainerName(name), name)
})

test('a process is in the container whose first process has its namespaces, and in no other', asRoot, async t => {
  const runtime = new Runtime(t)
  const [one, other] = [await running(t, ...NESTED), await running(t, ...NESTED)]
  runtime.add('c1', { pid: one })
  assert.deepEqual(await runtime.find(one), {
    runtime: 'podman',
    id: 'c1',
    names: ['web'],
    images: [`sha256:${IMAGE}`, MANIFEST],
    pods: []
  })
  assert.equal(await runtime.find(other), undefined)
  assert.equal(await runtime.find(process.pid), undefined)
  // A container within it is not the container, and neither is who enters from outside, since the cgroup stays.
  const within = await running(t, 'nsenter', '--pid', '--target', String(one), ...NESTED)
  const children = readFileSync(`/proc/${within}/task/${within}/children`, 'utf8').trim()
  assert.equal(await runtime.find(Number(children)), undefined)
  const entered = await running(t, 'nsenter', '--pid', '--target', String(one))
  runtime.add('c1', { pid: one, cgroup: '/a/container' })
  assert.equal(await runtime.find(entered), undefined)
})

test('the pid of a container that has ended stands for nothing, whoever has it now', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  runtime.add('c1', { pid, startTime: startTimeOf(pid) - 1 })
  assert.equal(await runtime.find(pid), undefined)
  runtime.add('c1', { pid: 2 ** 22 + 1, startTime: 1 })
  assert.equal(await runtime.find(pid), undefined)
})

test(
  'a container with the pids of its host is known by its cgroup alone, so without one it is none',
  asRoot,
  async t => {
    const runtime = new Runtime(t)
    const pid = await running(t)
    runtime.add('c1', { pid })
    assert.equal(await runtime.find(pid), undefined)
  }
)

test('what another user could have written says nothing', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  const status = join(runtime.state, 'c1', 'status')
  runtime.add('c1', { pid })
  chownSync(status, OTHER, OTHER)
  assert.equal(await runtime.find(pid), undefined, 'of another user')
  chownSync(status, 0, 0)
  assert.equal((await runtime.find(pid))?.id, 'c1')
  chmodSync(status, 0o620)
  assert.equal(await runtime.find(pid), undefined, 'writable by a group')
  chmodSync(status, 0o600)
  chownSync(runtime.path('store', 'overlay-containers', 'containers.json'), OTHER, OTHER)
  assert.deepEqual((await runtime.find(pid))?.names, [], 'a store of another user')
  // What is no file is not opened at all, so a pipe without a writer holds up nobody.
  rmSync(status)
  execFileSync('mkfifo', [status])
  assert.equal(await runtime.find(pid), undefined)
  rmSync(status)
  symlinkSync('/dev/zero', status)
  assert.equal(await runtime.find(pid), undefined)
  rmSync(status)
  writeFileSync(status, ' '.repeat(1024 * 1024))
  assert.equal(await runtime.find(pid), undefined, 'too long')
  for (const text of ['', '[', 'null', '7', '{"pid":"1"}', `{"pid":${pid}}`]) {
    writeFileSync(status, text)
    assert.equal(await runtime.find(pid), undefined, text)
  }
})

test('where another user could have made entries, nothing is what it seems', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...asUser(OWNER))
  const parent = dirname(runtime.state)
  runtime.add('c1', { pid, uid: OWNER })
  assert.equal((await runtime.find(pid, OWNER))?.id, 'c1')
  for (const directory of [runtime.state, parent]) {
    chownSync(directory, OTHER, OTHER)
    assert.equal(await runtime.find(pid, OWNER), undefined, `${directory} of another user`)
    chownSync(directory, OWNER, OWNER)
    for (const mode of [0o720, 0o702]) {
      chmodSync(directory, mode)
      assert.equal(await runtime.find(pid, OWNER), undefined, `${directory} with mode ${mode.toString(8)}`)
    }
    chmodSync(directory, 0o755)
  }
  const link = runtime.path('link')
  symlinkSync(runtime.state, link)
  lchownSync(link, OWNER, OWNER)
  assert.equal(await findContainer(pid, OWNER, { directories: [link] }), undefined)
  assert.equal((await runtime.find(pid, OWNER))?.id, 'c1')
})

test('a directory that everybody may make is read only if the user has no session', t => {
  const directory = temporaryDirectory('wt-session-')
  t.after(() => rmSync(directory, { recursive: true }))
  const [session, temporary] = [join(directory, 'session'), join(directory, 'tmp')]
  assert.deepEqual(stateDirectories(OWNER, session, temporary), [join(temporary, 'crun'), join(temporary, 'runc')])
  mkdirSync(session)
  assert.ok(stateDirectories(OWNER, session, temporary).every(path => path.startsWith(session)))
})

test('the manager and the pod are what the manager wrote, and not what the image says', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  const annotations = { 'io.container.manager': 'cri-o', 'io.kubernetes.cri-o.SandboxID': POD }
  runtime.add('c1', { pid })
  runtime.write(join(runtime.state, 'c1', 'config.json'), { annotations })
  const found = async () => {
    const { runtime: manager, names, pods } = (await runtime.find(pid)) ?? { names: [], pods: [] }
    return [manager, names, pods]
  }
  assert.deepEqual(await found(), ['podman', ['web'], []])
  runtime.add('c1', { pid, metadata: { 'pod-id': POD } })
  assert.deepEqual(await found(), ['cri-o', ['web'], [POD]])
  // The same of runc, whose labels are annotations, and last the bundle.
  rmSync(join(runtime.state, 'c1'), { recursive: true })
  runtime.add('c1', { pid })
  const bundle = runtime.path('store', 'overlay-containers', 'c1', 'userdata')
  rmSync(join(runtime.state, 'c1', 'status'))
  const labels = [...Object.entries(annotations).map(pair => pair.join('=')), 'bundle=/x', `bundle=${bundle}`]
  const [init, start] = [{ init_process_pid: pid }, { init_process_start: startTimeOf(pid) }]
  runtime.write(join(runtime.state, 'c1', 'state.json'), { ...init, ...start, config: { labels } })
  assert.deepEqual(await found(), ['podman', ['web'], []])
})

test('the pod of podman is the one in whose cgroup the container is', () => {
  const name = `libpod-${'a'.repeat(64)}`
  assert.equal(podOf([`/machine.slice/machine-libpod_pod_${POD}.slice/${name}.scope`]), POD)
  assert.equal(
    podOf([`/user.slice/user-1.slice/user@1.service/user.slice/user-libpod_pod_${POD}.slice/${name}.scope`]),
    POD
  )
  assert.equal(podOf(['/x', `/libpod_parent/${POD}/${name}`]), POD)
  for (const path of ['', `/machine.slice/${name}.scope`, `/libpod_parent/${name}`, `/libpod_pod_${POD}`])
    assert.equal(podOf([path]), undefined, path)
})

test('a text where an object belongs has no members, and a name that is none is dropped', asRoot, async t => {
  for (const value of ['text', ['list'], 7, null, undefined]) assert.deepEqual(membersOf(value), [])
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  runtime.add('c1', { pid })
  const names = ['x; reboot', 'y'.repeat(100_000), '', 'web', '$(z)']
  const containers = runtime.path('store', 'overlay-containers', 'containers.json')
  runtime.write(containers, [{ id: 'c1', names, image: IMAGE, metadata: '{"pod-id":"a b"}' }])
  const image = { id: IMAGE, digest: MANIFEST, 'big-data-digests': 'x'.repeat(500_000) }
  runtime.write(runtime.path('store', 'overlay-images', 'images.json'), [image])
  const found = await runtime.find(pid)
  assert.deepEqual(
    [found?.runtime, found?.names, found?.images, found?.pods],
    ['podman', ['web'], [`sha256:${IMAGE}`, MANIFEST], []]
  )
})

test('a process that may be in either of two containers is in none of them', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  runtime.add('c1', { pid })
  const within = await running(t, 'nsenter', '--pid', '--target', String(pid))
  assert.equal((await runtime.find(within))?.id, 'c1')
  // As with podman run --pid container:c1, where no cgroup tells them apart.
  runtime.add('c2', { pid: within })
  assert.equal(await runtime.find(within), undefined)
  assert.equal(await runtime.find(pid), undefined)
})

test('the state of a user is read in part if there is too much of it, and not for long', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...asUser(OWNER))
  runtime.add('c1', { pid, uid: OWNER })
  const directories = [runtime.state]
  let now = 0
  const slow = { directories, monotonicMs: () => (now += 1_000) }
  await assert.rejects(findContainer(pid, OWNER, slow), /LIMIT_EXCEEDED.*not read within 500 ms/)
  const roots = new Runtime(t)
  const other = await running(t, ...NESTED)
  roots.add('c1', { pid: other })
  assert.equal((await findContainer(other, 0, { ...slow, directories: [roots.state] }))?.id, 'c1')
  for (let count = 0; count < 300; count += 1) mkdirSync(join(runtime.state, `x${count}`))
  const { ids, isWhole } = await listContainers(runtime.state)
  assert.deepEqual([ids.length, isWhole], [256, false])
  // Among those that were not read could be another one without a cgroup.
  assert.equal(await runtime.find(pid, OWNER), undefined)
})

test(
  'a look-up that has taken its time begins no further list of a user, and takes none for its answer',
  asRoot,
  async t => {
    const runtime = new Runtime(t)
    const pid = await running(t, ...asUser(OWNER))
    runtime.add('c1', { pid, uid: OWNER })
    // Which of its looks at the clock is the first that finds it late.
    const said = async (late: number) => {
      let looks = 0
      const monotonicMs = (): number => (++looks < late ? 0 : 1_000)
      const found = await findContainer(pid, OWNER, { directories: [runtime.state], monotonicMs })
      return found === undefined ? undefined : [found.runtime, ...found.images]
    }
    const all = [`sha256:${IMAGE}`, MANIFEST]
    assert.deepEqual(await said(100), ['podman', ...all])
    // Before the directory, a container, the list of containers, and the list of images.
    for (const late of [2, 3, 4]) await assert.rejects(said(late), /LIMIT_EXCEEDED.*not read within/, String(late))
    assert.deepEqual(await said(5), ['podman', `sha256:${IMAGE}`])
  }
)

test('where cgroups are named after containers, no state is read for a process that is in none', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  runtime.add('c1', { pid })
  const by = { directories: [runtime.state], unlisted: [runtime.state] }
  assert.equal((await findContainer(pid, 0, { ...by, unlisted: [] }))?.id, 'c1')
  assert.equal(await findContainer(pid, 0, by), undefined)
  const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'latin1')
  const [named] = namesInCgroup(cgroup)
  if (named === undefined) return t.diagnostic('this process is in no cgroup with a name')
  runtime.add(named, { pid })
  assert.equal((await findContainer(pid, 0, { ...by, directories: [runtime.state] }))?.id, named)
})

test('a store that the runtime does not name by the container’s own bundle is not read', asRoot, async t => {
  const runtime = new Runtime(t)
  const pid = await running(t, ...NESTED)
  runtime.add('c2', { pid, name: 'other' })
  runtime.add('c1', { pid })
  const bundle = runtime.path('store', 'overlay-containers', 'c2', 'userdata')
  rmSync(join(runtime.state, 'c2'), { recursive: true })
  const status = { pid, 'process-start-time': startTimeOf(pid), 'cgroup-path': '', bundle }
  runtime.write(join(runtime.state, 'c1', 'status'), status)
  assert.deepEqual((await runtime.find(pid))?.names, [])
})

test('docker names a container in its own file, and another user’s file is none of docker’s', asRoot, async t => {
  const runtime = new Runtime(t)
  const [settings, config] = [runtime.path('daemon.json'), runtime.path('docker', 'containers', 'c1', 'config.v2.json')]
  runtime.write(settings, { 'data-root': runtime.path('docker') })
  runtime.write(config, { ID: 'c1', Name: '/web', Image: `sha256:${IMAGE}` })
  assert.deepEqual(await readDocker('c1', settings), { names: ['web'], images: [`sha256:${IMAGE}`] })
  assert.equal(await readDocker('c2', settings), undefined)
  runtime.write(config, { ID: 'c2', Name: '/web' })
  assert.equal(await readDocker('c1', settings), undefined)
  runtime.write(config, { ID: 'c1', Name: '/web' }, OTHER)
  assert.equal(await readDocker('c1', settings), undefined)
})

test(
  'the runtime of a user speaks of processes below that user’s own namespaces, and root’s of root’s',
  asRoot,
  async t => {
    const reader = processReader()
    const theirs = await running(t, ...asUser(OWNER))
    const roots = await running(t, ...NESTED)
    assert.equal(reader.runtimeOwnerOf(theirs), OWNER)
    assert.equal(reader.runtimeOwnerOf(roots), 0)
    assert.equal(reader.runtimeOwnerOf(await running(t, 'unshare', '--user', '--map-root-user')), 0)
    const runtime = new Runtime(t)
    runtime.add('c1', { pid: theirs, uid: OWNER })
    assert.deepEqual((await runtime.find(theirs, OWNER))?.names, ['web'])
    assert.equal(await runtime.find(theirs, OTHER), undefined)
    assert.equal(await runtime.find(theirs, 0), undefined)
  }
)

test('a process with a user namespace of its own has facts only if a container is found for it', asRoot, async t => {
  const pid = await running(t, ...asUser(OWNER))
  const runtime = new Runtime(t)
  runtime.add('c1', { pid, uid: OWNER })
  const users = { usersOf: async () => ['owner'] }
  const containers = new ContainerFinder(systemClock, users, async (one, uid) => await runtime.find(one, uid))
  const attestor = new Attestor(systemClock, { containers })
  const held = { uid: OWNER, gid: OWNER, process: processHandle(pid) }
  t.after(() => held.process.close())
  const nothing = { executable: () => false, hash: () => false }
  await assert.rejects(attestor.attest(held, nothing), /is in a user namespace of its own/)
  await assert.rejects(
    attestor.attest(held, { ...nothing, container: () => false }),
    /is in a user namespace of its own/
  )
  const { container, hasOwnUserIds, view } = await attestor.attest(held, { ...nothing, container: () => true })
  assert.deepEqual([container?.ownerUid, container?.owners, container?.names], [OWNER, ['owner'], ['web']])
  assert.deepEqual([hasOwnUserIds, view.isOfHost, view.sharesPids], [true, false, false])
  rmSync(runtime.state, { recursive: true })
  await assert.rejects(attestor.attest(held, { ...nothing, container: () => true }), /user namespace/)
})

test('a sender whose containers are looked for all the time is refused, and no other', asRoot, async () => {
  const finder = new ContainerFinder(
    { ...systemClock, monotonicMs: () => 0 },
    { usersOf: async () => [] },
    async () => undefined
  )
  for (let count = 0; count < 128; count += 1) await finder.find(process.pid, OWNER, 'one')
  await assert.rejects(finder.find(process.pid, OWNER, 'one'), /LIMIT_EXCEEDED|too many containers/)
  assert.equal(await finder.find(process.pid, OTHER, 'other'), undefined)
  assert.equal(await finder.find(process.pid, 0, 'root'), undefined)
})

test('one sender has some look-ups at a time, and others wait for one of them alone', asRoot, async () => {
  const { promise: first, resolve: end } = Promise.withResolvers<undefined>()
  const done: number[] = []
  const finder = new ContainerFinder(systemClock, { usersOf: async () => [] }, async (_pid, uid) => {
    await first
    done.push(uid)
    return undefined
  })
  const own = Array.from({ length: 16 }, () => finder.find(process.pid, OWNER, 'one'))
  await assert.rejects(finder.find(process.pid, OWNER, 'one'), /LIMIT_EXCEEDED|too many containers/)
  const other = finder.find(process.pid, OTHER, 'other')
  end(undefined)
  await Promise.all([...own, other])
  assert.equal(done.indexOf(OTHER), 1)
  assert.equal(await finder.find(process.pid, OWNER, 'one'), undefined)
})

test('a look-up that took too long says so, and the next one in its line is made', asRoot, async () => {
  let now = 0
  const monotonicMs = (): number => (now += 1_000)
  const finder = new ContainerFinder(systemClock, { usersOf: async () => [] }, async (pid, uid) =>
    pid === 1 ? await findContainer(pid, uid, { directories: ['/'], monotonicMs }) : undefined
  )
  const [slow, next] = [finder.find(1, OWNER, 'one'), finder.find(process.pid, OWNER, 'one')]
  await assert.rejects(
    slow,
    /LIMIT_EXCEEDED.*the files of the container runtime of uid \d+ were not read within 500 ms/
  )
  assert.equal(await next, undefined)
})

test('a look-up that a user makes long counts as many', asRoot, async () => {
  let now = 0
  const clock = { ...systemClock, monotonicMs: () => now }
  let takesMs = 500
  const finder = new ContainerFinder(clock, { usersOf: async () => [] }, async () => {
    now += takesMs
    return undefined
  })
  const many = async (uid: number): Promise<void> => {
    for (let count = 0; count < 20; count += 1) await finder.find(process.pid, uid, `of ${uid}`)
  }
  await assert.rejects(many(OWNER), /LIMIT_EXCEEDED|too many containers/)
  takesMs = 50
  for (let round = 0; round < 10; round += 1) await many(0)
})

test('a look-up that takes long in the files of root counts as many, too', asRoot, async () => {
  let now = 0
  const clock = { ...systemClock, monotonicMs: () => now }
  const finder = new ContainerFinder(clock, { usersOf: async () => [] }, async () => {
    now += 500
    return undefined
  })
  const many = async (sender: string): Promise<void> => {
    for (let count = 0; count < 20; count += 1) await finder.find(process.pid, 0, sender)
  }
  await assert.rejects(many('view one'), /LIMIT_EXCEEDED|too many containers/)
  await finder.find(process.pid, 0, 'view other')
})

test('a label counts as the kernel writes it while it is enforced', () => {
  assert.equal(selinuxContext('system_u:system_r:container_t:s0:c1,c2\0'), 'system_u:system_r:container_t:s0:c1,c2')
  assert.equal(selinuxContext('u:r:t'), 'u:r:t')
  for (const text of ['', 'kernel', 'unconfined\n', 'a:b', 'docker-default (enforce)\n', 'a:b:c d', 'a::c'])
    assert.equal(selinuxContext(text), undefined, text)
  assert.equal(apparmorProfile('containers-default-0.50.1 (enforce)\n'), 'containers-default-0.50.1')
  assert.equal(apparmorProfile('/usr/bin/a b//c (enforce)'), '/usr/bin/a b//c')
  for (const text of ['', 'unconfined\n', 'x (complain)\n', 'x (enforce) (kill)', ' (enforce)', 'a:b:c:d'])
    assert.equal(apparmorProfile(text), undefined, text)
})

test('a kernel without security modules has no label for anybody', t => {
  const has = (path: string): boolean => {
    try {
      return readFileSync(path, 'utf8') !== ''
    } catch {
      return false
    }
  }
  if (has('/sys/fs/selinux/enforce') || has('/proc/self/attr/apparmor/current')) return t.skip('this kernel has one')
  assert.deepEqual(labelsOf(process.pid), {})
})
