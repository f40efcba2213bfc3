import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { listenersOf, needsRuntime, Program, type Scope, scopeOf, TestAgent, WARREN } from '../harness/index.ts'

const SHOP = 'dev.shop.cart.default'

/** A directory with a program that leaves a mark when it is loaded. */
function trap(scope: Scope) {
  const directory = scope.directory()
  const [program, mark] = [join(directory, 'loaded.cjs'), join(directory, 'mark')]
  writeFileSync(program, `require('node:fs').writeFileSync(${JSON.stringify(mark)}, String(process.pid))`)
  const empty = join(directory, 'empty')
  mkdirSync(empty)
  return { program, mark, empty }
}

for (const [how, argv] of [
  ['by its name', [WARREN]],
  ['by node', [process.execPath, WARREN]]
] as const) {
  test(`no variable opens a debugger in an agent that is started ${how}, nor has it write its memory`, async t => {
    const scope = scopeOf(t)
    const { program, mark, empty } = trap(scope)
    const directory = scope.directory()
    const options = ['--inspect=127.0.0.1:0', '--heapsnapshot-signal=SIGUSR2', '--report-on-signal']
    const env = {
      NODE_OPTIONS: [...options, `--require=${program}`].join(' '),
      NODE_INSPECT_RESUME_ON_START: '1',
      NODE_REPL_EXTERNAL_MODULE: program,
      NODE_COMPILE_CACHE: join(directory, 'cache')
    }
    const own = ['--name', 'a', '--state-dir', join(directory, 's'), '--runtime-dir', join(directory, 'r')]
    const ports = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']
    const args = [...argv, 'up', '--init', 'example.org', '--json', '--log-level', 'info', ...own, ...ports]
    const agent = new Program(scope, args, { env, cwd: empty })
    await agent.says(/"event":"ready"/)
    assert.equal(listenersOf(agent.pid).length, 2, 'mesh and data')
    agent.signal('SIGUSR2')
    await agent.says(/signal has no effect/, 'stderr')
    assert.equal((await agent.stop()).code, 0)
    assert.deepEqual(readdirSync(empty), [], 'neither a heap nor a report')
    // What Node does before warren's first line can only be kept from it by who starts it.
    if (argv.length > 1) return
    assert.doesNotMatch(agent.stderr, /Debugger/)
    assert.deepEqual([existsSync(mark), existsSync(env.NODE_COMPILE_CACHE)], [false, false])
  })
}

test('no variable opens a debugger in a command, makes it wait for one, or loads a program into it', async t => {
  const scope = scopeOf(t)
  const { program, mark, empty } = trap(scope)
  const version = async (NODE_OPTIONS: string) =>
    await new Program(scope, [WARREN, '--version'], { env: { NODE_OPTIONS }, cwd: empty }).outcome()
  for (const options of [
    '--inspect=127.0.0.1:0',
    '--inspect-brk=127.0.0.1:0',
    '--inspect-wait=127.0.0.1:0',
    '--inspect-port=0 --inspect',
    `--require=${program}`,
    `--import=${program}`,
    '--cpu-prof --heap-prof',
    '--no-such-option'
  ]) {
    const { code, stdout, stderr } = await version(options)
    assert.deepEqual([code, stderr], [0, ''], options)
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
  }
  assert.equal(existsSync(mark), false)
  assert.deepEqual(readdirSync(empty), [])
})

test('what NODE_OPTIONS says reaches the programs that warren starts', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  for (const argv of [[WARREN], [process.execPath, WARREN]]) {
    const hook = 'echo "options $NODE_OPTIONS, $WARREN_NODE_OPTIONS$WARREN_HANGUP"'
    const args = ['--runtime-dir', agent.runtimeDir, 'svid', 'fetch', SHOP, '--out', join(scope.directory(), 'svid')]
    const env = { NODE_OPTIONS: '--max-old-space-size=256 --no-warnings' }
    const { code, stderr } = await new Program(scope, [...argv, ...args, '--exec', hook], { env }).outcome()
    assert.equal(code, 0, stderr)
    assert.match(stderr, /^options --max-old-space-size=256 --no-warnings, $/m)
  }
})

test('a Node that is too old is told so, whatever starts it', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const [bin, old] = [join(directory, 'bin'), join(directory, 'old')]
  for (const path of [bin, old]) mkdirSync(path)
  copyFileSync(WARREN, join(bin, 'warren.js'))
  const node = '#!/bin/sh\nif [ "$1" = --version ]; then echo v20.20.2; else echo "given $#: $*"; fi\n'
  writeFileSync(join(old, 'node'), node, { mode: 0o755 })
  const env = { PATH: `${old}:/usr/bin:/bin` }
  const { stdout } = await new Program(scope, [join(bin, 'warren.js'), 'up', '--json'], { env }).outcome()
  // Without options that it does not know, it gets as far as to warren's own sentence.
  assert.equal(stdout, `given 3: ${join(bin, 'warren.js')} up --json\n`)
})

test('a checkout without its packages, or without any Node, says what installs them', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  for (const name of ['bin', 'src', 'tools']) mkdirSync(join(directory, name))
  const copy = join(directory, 'bin', 'warren.js')
  copyFileSync(WARREN, copy)
  const bare = await new Program(scope, [process.execPath, copy, 'status']).outcome()
  const missing = `warren: the packages that this checkout needs are missing\n  Run npm ci in ${directory}.\n`
  assert.deepEqual([bare.code, bare.stderr], [2, missing])
  for (const name of ['sh', 'readlink']) symlinkSync(`/bin/${name}`, join(directory, 'tools', name))
  const none = await new Program(scope, ['/bin/sh', copy, 'status'], {
    env: { PATH: join(directory, 'tools') }
  }).outcome()
  assert.equal(none.code, 2)
  assert.match(none.stderr, /^warren: needs Node 24 or later, and finds none\n {2}In a checkout, npm ci installs/)
})

test('a link to the command of a checkout finds its Node, whatever the system has', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const link = join(directory, 'warren')
  symlinkSync(WARREN, link)
  writeFileSync(join(directory, 'node'), '#!/bin/sh\necho the wrong one\n', { mode: 0o755 })
  const { code, stdout } = await new Program(scope, [link, '--version'], {
    env: { PATH: `${directory}:/usr/bin:/bin` }
  }).outcome()
  assert.deepEqual([code, /^\d+\.\d+\.\d+\n$/.test(stdout)], [0, true], stdout)
})

test('node bin/warren.js with Node 22 is the Node of the checkout from then on', async t => {
  const node = needsRuntime(t, 'node-22')
  if (node === undefined) return
  const { code, stdout, stderr } = await new Program(scopeOf(t), [node, WARREN, '--version']).outcome()
  assert.deepEqual([code, /^\d+\.\d+\.\d+\n$/.test(stdout)], [0, true], stderr)
})

test('an agent starts by variables alone, and says which of them it does not know', async t => {
  const scope = scopeOf(t)
  const directory = scope.directory()
  const env = {
    WARREN_INIT: 'example.org',
    WARREN_NAME: 'a',
    WARREN_STATE_DIR: join(directory, 's'),
    WARREN_RUNTIME_DIR: join(directory, 'r'),
    WARREN_LISTEN: '127.0.0.1:0',
    WARREN_DATA_LISTEN: '127.0.0.1:0',
    WARREN_ADVERTISE: '127.0.0.1,localhost',
    WARREN_NO_MDNS: 'true',
    WARREN_LOG_LEVEL: 'silent',
    WARREN_DATALISTEN: '127.0.0.1:1'
  }
  const agent = new Program(scope, [WARREN, 'up', '--name', 'b', '--json'], { env })
  await agent.says(/"event":"ready","machine":"b","trustDomain":"example.org"/)
  assert.match(agent.stderr, /^warren: warning: the variable WARREN_DATALISTEN is unknown.*WARREN_DATA_LISTEN\?\)$/m)
  assert.doesNotMatch(agent.stderr, /WARREN_(NAME|HANGUP|STDOUT|NODE_OPTIONS)/)
  assert.ok(existsSync(join(directory, 's', 'root.key')), readdirSync(join(directory, 's')).join())
  const status = await new Program(scope, [WARREN, 'status', '--json'], { env }).outcome()
  const { dataAddresses } = JSON.parse(status.stdout) as { dataAddresses: string[] }
  assert.deepEqual(
    dataAddresses.map(address => address.split(':')[0]),
    ['127.0.0.1', 'localhost']
  )
  assert.equal((await agent.stop()).code, 0)
})
