import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { after, before } from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')
const BIN = join(ROOT, 'node_modules', '.bin')
const work = mkdtempSync(join(tmpdir(), 'warren-package-'))
const consumer = join(work, 'consumer')

function run(command: string, args: readonly string[], cwd: string): string {
  // npm starts Node through PATH: give it the one that runs this test.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}` }
  return execFileSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 240_000
  })
}

/** Packs a copy of the checkout, so that the checkout itself may be read-only and keeps its own dist/. */
function pack(): string {
  const source = join(work, 'source')
  mkdirSync(source)
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  const published = files.filter(name => name !== 'dist')
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'src', 'tools', ...published]) {
    cpSync(join(ROOT, name), join(source, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  run('npm', ['pack', '--silent', '--pack-destination', work], source)
  const tarball = readdirSync(work).find(name => name.endsWith('.tgz'))
  assert.ok(tarball !== undefined, 'npm pack wrote no tarball')
  return join(work, tarball)
}

/** Checks a program with its declarations: as Node resolves them and as bundlers do, without the library of the DOM and with it. */
function typeCheck(file: string): void {
  const options = ['--noEmit', '--strict', '--target', 'es2024', '--skipLibCheck', 'false']
  const types = ['--typeRoots', join(ROOT, 'node_modules/@types'), '--types', 'node']
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler']
  ] as const) {
    for (const lib of ['es2024,esnext.disposable', 'es2024,esnext.disposable,dom']) {
      const how = ['--module', module, '--moduleResolution', resolution, '--lib', lib]
      run(join(BIN, 'tsc'), [...options, ...how, ...types, file], consumer)
    }
  }
}

let tarball = ''
before(() => {
  tarball = pack()
  mkdirSync(consumer)
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  run(
    'npm',
    ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--silent', tarball],
    consumer
  )
})
after(() => {
  rmSync(work, { recursive: true, force: true })
})

test('the installed package has a warren command that runs without sources', () => {
  assert.equal(existsSync(join(consumer, 'node_modules/warren/src')), false)
  const help = run(join(consumer, 'node_modules/.bin/warren'), ['--help'], consumer)
  for (const verb of ['up', 'token', 'status', 'connect', 'expose', 'forward', 'allow', 'explain']) {
    assert.match(help, new RegExp(`^\\s+${verb}\\b`, 'm'))
  }
})

test('no variable opens a debugger in the installed command, and the library leaves the signals of a program to it', () => {
  const env = { ...process.env, NODE_OPTIONS: '--inspect=127.0.0.1:0' }
  const warren = join(consumer, 'node_modules/.bin/warren')
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
  const { status, stderr } = spawnSync(warren, ['--version'], { env: { ...env, PATH: path }, encoding: 'utf8' })
  assert.deepEqual([status, stderr], [0, ''])
  const script = `
    await import('warren')
    await import('warren/agent')
    console.log(['SIGUSR1', 'SIGUSR2', 'SIGHUP'].map(name => process.listenerCount(name)).join())`
  assert.equal(run(process.execPath, ['--input-type=module', '-e', script], consumer).trim(), '0,0,0')
})

test('both exports of the installed package load, and the library loads no libp2p', () => {
  const script = `
    const library = await import('warren')
    const agent = await import('warren/agent')
    console.log(typeof library.connect, typeof library.listen, Object.keys(agent).length > 0)`
  assert.equal(run(process.execPath, ['--input-type=module', '-e', script], consumer).trim(), 'function function true')

  const alone = `
    import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ load(url, context, next) { seen.push(url); return next(url, context) } })
    await import('warren')
    console.log(seen.filter(url => /libp2p|koffi/.test(url)).join(' '))`
  assert.equal(run(process.execPath, ['--input-type=module', '-e', alone], consumer).trim(), '')
})

test('the declarations of the installed package resolve, and need neither the DOM nor skipLibCheck', () => {
  // An import that does not resolve inside a declaration file makes its types `any`, and then nothing here is an error.
  writeFileSync(
    join(consumer, 'consumer.ts'),
    `import { AgentClient, connect, listen } from 'warren'
     import * as agent from 'warren/agent'
     // @ts-expect-error a destination is a string
     void connect(42, { as: 'dev.a.b.c' })
     // @ts-expect-error an address is a string
     void listen(42)
     const client = new AgentClient()
     const machine: string = (await client.workload.getStatus({})).machine
     // @ts-expect-error a machine is a string
     const wrong: number = machine
     void wrong
     // @ts-expect-error the agent has no such export
     void agent.noSuchExport
    `
  )
  typeCheck('consumer.ts')
})

test('the program in the README is a program of the installed package', () => {
  const [, program] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? []
  assert.ok(program !== undefined)
  writeFileSync(join(consumer, 'readme.ts'), program)
  typeCheck('readme.ts')
})

test('every link of the README to a file leads to one of the installed package', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => link)
  assert.ok(links.length > 10)
  const missing = links.filter(link => !existsSync(join(consumer, 'node_modules/warren', link)))
  assert.deepEqual(missing, [])
})

test('attw finds no fault with the types, for programs that are ES modules', t => {
  if (process.env['TEST_PROGRAMS'] === undefined) return t.skip('npm run test:programs fetches attw and runs it')
  run('npx', ['--yes', '@arethetypeswrong/cli@0.18.5', '--profile', 'esm-only', tarball], consumer)
})

test('publint finds nothing to complain of', () => {
  run(join(BIN, 'publint'), ['run', '--strict', tarball], consumer)
})

test('a program that starts an agent keeps its umask, its flags of V8 and its listeners, until it calls tuneProcess', () => {
  const script = `
    import v8 from 'node:v8'
    import { runInNewContext } from 'node:vm'
    import { syncBuiltinESMExports } from 'node:module'
    const touched = []
    const { setFlagsFromString } = v8
    v8.setFlagsFromString = flag => {
      touched.push(flag)
      setFlagsFromString(flag)
    }
    syncBuiltinESMExports()
    const { umask } = process
    process.umask = (...mask) => {
      if (mask.length > 0) touched.push('umask')
      return umask(...mask)
    }
    const listeners = () => Object.fromEntries(process.eventNames().map(name => [String(name), process.listenerCount(name)]))
    umask(0o027)
    process.on('SIGTERM', () => {})
    const before = listeners()
    const { startAgent, tuneProcess } = await import('warren/agent')
    const port = { host: '127.0.0.1', port: 0 }
    const agent = await startAgent({
      init: 'embedded.test', name: 'alpha', stateDir: 'state', runtimeDir: process.argv[1],
      listen: port, dataListen: port, mdns: false, logLevel: 'silent'
    })
    const running = { umask: umask(), gc: runInNewContext('typeof gc'), listeners: listeners() }
    await agent.stop()
    const mine = { touched: [...touched], running, after: listeners() }
    tuneProcess()
    tuneProcess()
    console.log(JSON.stringify({ before, mine, tuned: { umask: umask(), touched } }))`
  const args = ['--input-type=module', '-e', script, join(work, 'run')]
  const { before, mine, tuned } = JSON.parse(run(process.execPath, args, consumer))
  assert.deepEqual(mine.touched, [])
  assert.deepEqual(mine.running, { umask: 0o027, gc: 'undefined', listeners: before })
  assert.deepEqual(mine.after, before)
  assert.equal(tuned.umask, 0o077)
  assert.ok(tuned.touched.includes('--semi-space-growth-factor=1') && tuned.touched.includes('--expose-gc'))
})
