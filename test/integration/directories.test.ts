import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { asRoot, at, type Outcome, Program, type Scope, scopeOf, TestAgent, warren } from '../harness/index.ts'

const OTHER = 61_242

const PORTS = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']

/** The end of a `warren up` that is refused. */
async function upFails(scope: Scope, stateDir: string, runtimeDir: string, ...more: string[]): Promise<Outcome> {
  const dirs = ['--state-dir', stateDir, '--runtime-dir', runtimeDir]
  const args = ['up', '--init', 'example.org', '--name', 'x', '--log-level', 'silent', ...PORTS, ...dirs, ...more]
  return await warren(scope, args).outcome()
}

/** A directory of a person, with names in it that an agent uses, too. */
function home(scope: Scope): string {
  const path = scope.directory()
  for (const name of ['endpoints', 'staging', 'w', '.ssh']) mkdirSync(join(path, name))
  for (const name of ['endpoints/thesis.txt', 'staging/thesis.txt', 'w/thesis.txt', 'notes.txt'])
    writeFileSync(join(path, name), 'precious')
  rmSync(join(path, 'staging'), { recursive: true })
  chmodSync(path, 0o755)
  return path
}

function look(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  const all = ['.', ...names].map(name => [name, lstatSync(join(path, name)).mode.toString(8)])
  return [...all.map(one => one.join(' ')), readFileSync(join(path, 'notes.txt'), 'utf8')]
}

test('an agent takes no directory for its state or its sockets that has other things in it, and changes nothing there', async t => {
  const scope = scopeOf(t)
  const path = home(scope)
  const before = look(path)
  for (const [state, runtime, option] of [
    [path, join(scope.directory(), 'r'), '--state-dir'],
    [join(scope.directory(), 's'), path, '--runtime-dir']
  ] as const) {
    const { code, stderr } = await upFails(scope, state, runtime)
    assert.equal(code, 1, stderr)
    assert.match(
      stderr,
      /^warren: STATE_UNUSABLE: the (state|runtime) directory \S+ is not empty, and its content is not/m
    )
    assert.match(stderr, new RegExp(`^ {2}.*${option} ${path}/warren`, 'm'))
    assert.deepEqual(look(path), before)
  }
  for (const command of [
    ['backup', join(path, 'b')],
    ['root', 'export', join(path, 'k'), '--yes']
  ]) {
    writeFileSync(join(scope.directory(), 'p'), 'correct horse battery')
    const secret = join(scope.directory(), 'p')
    writeFileSync(secret, 'correct horse battery')
    const { stderr } = await warren(scope, [...command, '--state-dir', path, '--passphrase-file', secret]).outcome()
    assert.match(stderr, /NOT_INITIALIZED/, command.join(' '))
    assert.deepEqual(look(path), before)
  }
})

test('a directory that others may write to holds neither state nor sockets, and keeps its mode', async t => {
  const scope = scopeOf(t)
  const open = join(scope.directory(), 'open')
  mkdirSync(open)
  chmodSync(open, 0o1777)
  const free = scope.directory()
  for (const [state, runtime] of [
    [open, join(free, 'r')],
    [join(free, 's'), open]
  ] as const) {
    const { stderr } = await upFails(scope, state, runtime)
    assert.match(stderr, /STATE_UNUSABLE: the (state|runtime) directory \S+ can be written by others/)
    assert.equal(statSync(open).mode & 0o7777, 0o1777)
    assert.deepEqual(readdirSync(open), [])
  }
})

test('empty directories that were there are used, with the modes that they have', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  for (const path of [a.stateDir, a.runtimeDir]) {
    mkdirSync(path)
    chmodSync(path, 0o750)
  }
  await a.start()
  // What its operator keeps beside the sockets stays, too, and keeps nobody from starting again.
  writeFileSync(join(a.runtimeDir, 'notes.txt'), 'precious')
  await a.kill()
  await a.start([])
  for (const path of [a.stateDir, a.runtimeDir]) assert.equal(statSync(path).mode & 0o777, 0o750)
  assert.equal(readFileSync(join(a.runtimeDir, 'notes.txt'), 'utf8'), 'precious')
})

test('a second agent on the runtime directory of one that runs is refused before it removes anything there', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  const server = a.spawn(['serve', 'dev.web.site.default'])
  await server.says(/serving/, 'stderr')
  const before = a.endpointFiles()
  assert.ok(before.length > 0)
  const { code, stderr } = await upFails(scope, join(scope.directory(), 's'), a.runtimeDir)
  assert.equal(code, 1)
  assert.match(stderr, /ALREADY_EXISTS: another agent is already running on/)
  assert.deepEqual(a.endpointFiles(), before)
  const client = a.spawn(['connect', 'dev.web.site.default'])
  client.stdin.end('still there\n')
  await server.says(/still there/)
})

test('a runtime directory in which the sockets of workloads would not fit is refused at the start', async t => {
  const scope = scopeOf(t)
  const base = mkdtempSync(join(tmpdir(), 'w'))
  scope.defer(() => rmSync(base, { recursive: true, force: true }))
  const path = (bytes: number): string => join(base, 'r'.repeat(bytes - base.length - 1))
  const { code, stderr } = await upFails(scope, join(base, 's'), path(88))
  assert.equal(code, 2)
  assert.match(stderr, /INVALID_OPTION: the runtime directory \S+ has 88 bytes, and \d+ leave room/)
  assert.ok(!existsSync(path(88)))
  const [, most = ''] = /and (\d+) leave room/.exec(stderr) ?? []
  // With as many as are said, everything works.
  const options = [
    '--init',
    'example.org',
    '--name',
    'x',
    '--state-dir',
    join(base, 's'),
    '--runtime-dir',
    path(Number(most))
  ]
  const agent = warren(scope, ['up', '--log-level', 'info', ...PORTS, ...options])
  await agent.says(/agent ready/, 'stderr')
  const served = warren(scope, ['serve', 'dev.web.site.default'], {}, path(Number(most)))
  await served.says(/serving/, 'stderr')
  const client = warren(scope, ['connect', 'dev.web.site.default'], {}, path(Number(most)))
  client.stdin.end('hello\n')
  assert.doesNotMatch((await client.outcome()).stderr, /CANNOT_CONNECT/)
})

test(
  'what another user plants in a shared directory is neither followed, filled nor removed, and holds nobody up',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
    const shared = join(scope.directory(), 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o1777)
    chmodSync(dirname(shared), 0o755)
    const precious = join(scope.directory(), 'precious')
    writeFileSync(precious, 'precious')
    const [secret, stale] = [join(scope.directory(), 'p'), join(shared, 'stale')]
    writeFileSync(secret, 'correct horse battery')
    const as = { uid: OTHER }
    const plant = `cd "$1"; ln -s "$2" link; ln -s "$1/nowhere" dangling; mkfifo fifo; echo mine > file`
    const planted = await new Program(scope, at(as, ['/bin/sh', '-c', plant, 'sh', shared, precious])).outcome()
    assert.equal(planted.code, 0, planted.stderr)
    const names = readdirSync(shared).sort()
    for (const name of names) {
      const path = join(shared, name)
      const before = lstatSync(path)
      for (const args of [
        ['forward', 'dev.web.site.default', '--listen', `unix:${path}`],
        ['forward', 'dev.web.site.default', '--udp', '--listen', `unix:${path}`],
        ['backup', path, '--passphrase-file', secret],
        ['svid', 'fetch', 'dev.web.site.default', '--out', path]
      ]) {
        const { code, stderr } = await a.attempt(args)
        assert.ok(code === 1 || code === 2, `${args.join(' ')}: ${code}`)
        assert.match(
          stderr,
          /^warren: (INVALID_ARGUMENT|INVALID_OPTION|ALREADY_EXISTS|PERMISSION_DENIED): /,
          args.join(' ')
        )
      }
      const after = lstatSync(path)
      assert.deepEqual(
        [after.ino, after.uid, after.mode, after.size],
        [before.ino, OTHER, before.mode, before.size],
        name
      )
    }
    assert.equal(readFileSync(precious, 'utf8'), 'precious')
    assert.deepEqual(readdirSync(shared).sort(), names)

    // A dead socket of our own there is replaced, unless somebody holds the lock of the directory: that is said, and waits for nobody.
    const args = ['forward', 'dev.web.site.default', '--listen', `unix:${stale}`]
    const dead = a.spawn(args)
    await dead.says(/^unix:/m)
    await dead.kill()
    const holder = new Program(scope, at(as, ['flock', shared, '-c', 'echo held; exec cat']))
    await holder.says(/held/)
    const held = await a.attempt(args)
    assert.deepEqual(
      [held.code, /PORT_IN_USE: .* holds the lock of its directory/.test(held.stderr)],
      [1, true],
      held.stderr
    )
    await holder.kill()
    await a.spawn(args).says(/^unix:/m)
  }
)
