import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  at,
  type Host,
  needsCommand,
  type Outcome,
  Program,
  type Scope,
  scopeOf,
  TestAgent,
  WARREN,
  waitFor
} from '../harness/index.ts'

const UP = ['up', '--init', 'example.org', '--name', 'a', '--no-mdns', '--drain-timeout', '0s']
const LOOPBACK = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1']
const MEMORY_V1 = '/sys/fs/cgroup/memory'
const MEMORY_V2 = '/sys/fs/cgroup/cgroup.controllers'
/** A descriptor more than an idle agent needs, and few enough to be used up by a test. */
const FEW = 256

/** `warren up` in new directories, by a command line that `wrap` makes; how it ends. */
async function upBy(
  scope: Scope,
  wrap: (argv: readonly string[]) => string[],
  runtimeDir: string,
  env: Readonly<Record<string, string | undefined>> = {},
  state: readonly string[] = ['--state-dir', join(scope.directory(), 's')]
): Promise<Outcome | 'ready'> {
  const argv = [
    process.execPath,
    '--disable-sigusr1',
    WARREN,
    ...UP,
    ...LOOPBACK,
    ...state,
    '--runtime-dir',
    runtimeDir
  ]
  const program = new Program(scope, wrap(argv), { env })
  const isReady = await program.says(/"agent ready"/, 'stderr').then(
    () => true,
    () => false
  )
  if (!isReady) return await program.outcome()
  await program.stop()
  return 'ready'
}

function assertRefused(outcome: Outcome | 'ready', why: RegExp, hint: RegExp): void {
  assert.ok(outcome !== 'ready', 'it started')
  assert.match(outcome.stderr, why)
  assert.match(outcome.stderr, hint)
  assert.doesNotMatch(outcome.stderr, /INTERNAL/)
}

test('an agent that may have too few file descriptors is refused at its start, with how to allow more', async t => {
  if (!needsCommand(t, 'prlimit')) return
  const scope = scopeOf(t)
  const outcome = await upBy(scope, argv => ['prlimit', '--nofile=128', ...argv], scope.directory())
  assertRefused(
    outcome,
    /UNSUPPORTED: this process may have 128 file descriptors, and an agent needs 256/,
    /LimitNOFILE=/
  )
})

test('an agent in a control group with too little memory is refused at its start', asRoot, async t => {
  const scope = scopeOf(t)
  const isV1 = existsSync(join(MEMORY_V1, 'cgroup.procs'))
  if (!isV1 && !existsSync(MEMORY_V2)) return void t.skip('needs a control group for memory')
  const group = join(isV1 ? MEMORY_V1 : '/sys/fs/cgroup', `warren-test-${process.pid}`)
  try {
    mkdirSync(group)
    writeFileSync(join(group, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), String(128 * 1024 * 1024))
  } catch {
    return void t.skip('this machine lets nobody make a control group')
  }
  scope.defer(() => waitFor(() => rmdirSync(group) === undefined, 'the group to be empty'))
  const wrap = (argv: readonly string[]): string[] => [
    'sh',
    '-c',
    `echo $$ >${group}/cgroup.procs && exec "$@"`,
    'sh',
    ...argv
  ]
  assertRefused(
    await upBy(scope, wrap, scope.directory()),
    /UNSUPPORTED: the control group of this process allows 128 MiB of memory, and an agent needs 160 MiB/,
    /MemoryMax=/
  )
})

test('a runtime directory is either short enough for every socket in it, or refused at the start', async t => {
  const scope = scopeOf(t)
  const base = scope.directory()
  for (const bytes of [72, 73, 85, 88, 96, 107]) {
    const runtimeDir = join(base, 'r'.repeat(bytes - base.length - 1))
    if (bytes > 72) {
      const outcome = await upBy(scope, argv => [...argv], runtimeDir)
      assertRefused(outcome, new RegExp(`has ${bytes} bytes, and 72 leave room`), /--runtime-dir/)
      continue
    }
    const stateDir = join(scope.directory(), 's')
    const agent = new Program(scope, [
      process.execPath,
      WARREN,
      ...UP,
      ...LOOPBACK,
      '--state-dir',
      stateDir,
      '--runtime-dir',
      runtimeDir
    ])
    await agent.says(/"agent ready"/, 'stderr')
    const warren = (...args: string[]): string[] => [process.execPath, WARREN, '--runtime-dir', runtimeDir, ...args]
    const run = (...args: string[]): void =>
      void execFileSync(process.execPath, warren(...args).slice(1), { stdio: 'pipe' })
    run('allow', 'dev.*.*.*', 'dev.*.*.*')
    const server = new Program(scope, warren('serve', 'dev.a.b.c'))
    await server.says(/serving/, 'stderr')
    const client = new Program(scope, warren('connect', 'dev.a.b.c'))
    client.stdin.write('through\n')
    await server.says(/through/)
    for (const one of [client, server, agent]) await one.stop()
  }
})

test(
  'a user whom the user database does not know runs an agent, with a home directory or with --state-dir',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const uid = 23_456
    const base = scope.directory()
    execFileSync('chown', [String(uid), base])
    const as = (argv: readonly string[]): string[] => at({ uid }, argv)
    const without = { HOME: undefined, XDG_STATE_HOME: undefined }
    assertRefused(
      await upBy(scope, as, join(base, 'r'), without, []),
      /INVALID_OPTION: uid 23456 has no home directory for the state of the agent/,
      /--state-dir/
    )
    assert.equal(await upBy(scope, as, join(base, 'r'), without, ['--state-dir', join(base, 's')]), 'ready')
    assert.equal(await upBy(scope, as, join(base, 'r'), { ...without, HOME: base }, []), 'ready')
    assert.ok(existsSync(join(base, '.local', 'state', 'warren')))
  }
)

test('an agent that runs out of file descriptors says so once and in its status, and serves again afterwards', async t => {
  if (!needsCommand(t, 'prlimit')) return
  const scope = scopeOf(t)
  // A host only in that commands begin with this.
  const limited = { enter: (argv: readonly string[]) => ['prlimit', `--nofile=${FEW}`, ...argv] } as unknown as Host
  const args = [...LOOPBACK, '--no-mdns']
  const agent = new TestAgent(scope, { name: 'a', args, host: limited })
  await agent.start(['--init', 'example.org', ...args])
  const used = (): number => readdirSync(`/proc/${agent.pid}/fd`).length
  const sockets: Socket[] = []
  const open = async (): Promise<Socket> => {
    const socket = connect(agent.socket)
    sockets.push(socket)
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  scope.defer(() => sockets.forEach(socket => void socket.destroy()))
  // Each speaks HTTP/2: the settings of the agent prove that it was accepted, and no silence ends it. The number of
  // descriptors alone proves nothing: others open and close theirs meanwhile.
  while (used() <= FEW - 16) {
    const socket = await open()
    const session = connectHttp2('http://agent', { createConnection: () => socket })
    session.on('error', () => {})
    await once(session, 'remoteSettings')
  }
  assert.match(await agent.cli('status'), /^ALARM +2\d\d of 256 file descriptors are in use: .*LimitNOFILE=/m)
  await agent.program.says(/"almost no file descriptors are left/, 'stderr')

  // Until none is left: the system closes further connections.
  for (let more = 0; more < 32; more += 1) await open()
  await waitFor(() => sockets.some(socket => socket.closed || socket.readableEnded), 'a connection to be closed')
  for (const socket of sockets) socket.destroy()
  await agent.program.says(/"enough file descriptors are left again/, 'stderr')
  assert.doesNotMatch(await agent.cli('status'), /ALARM/)
  assert.equal(agent.program.stderr.match(/almost no file descriptors/g)?.length, 1)
})

test('an agent whose disk is full says so, keeps what it has, and continues once there is space', asRoot, async t => {
  const scope = scopeOf(t)
  const disk = scope.directory()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', disk])
  scope.defer(() => execFileSync('umount', ['--lazy', disk]))
  const stateDir = ['--state-dir', join(disk, 's')]
  const agent = new TestAgent(scope, { name: 'a', args: stateDir })
  await agent.start(['--init', 'example.org', ...stateDir])
  await agent.allow('dev.a.*.*', 'dev.*.*.*')
  const filler = join(disk, 'filler')
  const fill = (): void => {
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'pipe' })
    } catch {
      // It is full now.
    }
  }
  fill()
  // The log of the database has some space of its own.
  const refused = await waitFor(async () => {
    const outcome = await agent.attempt(['allow', 'dev.b.*.*', 'dev.*.*.*'])
    return outcome.code === 0 ? undefined : outcome
  }, 'the disk to be full for the agent')
  assert.match(refused.stderr, /^warren: STATE_UNUSABLE: .*\/s\/\S+.*(?:disk is full|database or disk is full)/m)
  assert.match(refused.stderr, /\n {2}.*[Ff]ree some space/)
  assert.match(await agent.cli('policy', 'show'), /dev\.a\.\*\.\*/)
  // It is found full at a start, too.
  await agent.kill()
  fill()
  rmSync(filler)
  await agent.start(stateDir)
  assert.match(await agent.cli('policy', 'show'), /dev\.a\.\*\.\*/)
  assert.doesNotMatch(await agent.cli('policy', 'show'), /dev\.b\.\*\.\*/)
  await agent.allow('dev.c.*.*', 'dev.*.*.*')
})
