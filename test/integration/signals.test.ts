import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import {
  listenersOf,
  localCall,
  needsCommand,
  Program,
  type Scope,
  scopeOf,
  TestAgent,
  WARREN,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

/** How a person starts warren: by its name, or with a Node that was chosen. */
const STARTS = [
  ['by its name', [WARREN]],
  ['by node', [process.execPath, WARREN]]
] as const

/** What precedes a command so that it has no terminal, wherever these tests run. */
const DETACHED = ['setsid']

interface Started {
  readonly program: Program
  readonly runtimeDir: string
  /** The process of the agent, also if something runs it. */
  readonly pid: number
}

/** Those of an agent that founds a trust domain and says on standard output when it is ready. */
function optionsOf(scope: Scope): string[] {
  const directory = scope.directory()
  const own = ['--name', 'a', '--state-dir', join(directory, 's'), '--runtime-dir', join(directory, 'r')]
  const ports = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']
  return ['--init', 'example.org', '--json', '--log-level', 'info', ...own, ...ports]
}

/** An agent as a person would start it, in whatever `argv` begins with. */
async function startAgent(scope: Scope, argv: readonly string[]): Promise<Started> {
  const runtimeDir = join(scope.directory(), 'r')
  const program = new Program(scope, [...argv, 'up', ...optionsOf(scope), '--runtime-dir', runtimeDir])
  const [, pid = ''] = await program.says(/"event":"ready".*"pid":(\d+)/)
  return { program, runtimeDir, pid: Number(pid) }
}

/**
 * Sends each signal that has no effect, and waits until the program has told of those that it tells of. Of SIGUSR1 it does not;
 * the kernel delivers that before SIGUSR2.
 */
async function unheeded(program: Program, told: (signal: string) => string): Promise<void> {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
    program.signal(signal)
    if (signal !== 'SIGUSR1') await program.says(new RegExp(told(signal)), 'stderr')
  }
}

const inLog = (signal: string): string => `"signal":"${signal}".*"msg":"signal has no effect"`
const inWords = (signal: string): string => `${signal} has no effect: `

for (const [how, argv] of STARTS) {
  test(`no signal opens a port of an agent that is started ${how}, and those of log rotation do not end it`, async t => {
    const scope = scopeOf(t)
    const { program, runtimeDir, pid } = await startAgent(scope, [...DETACHED, ...argv])
    assert.equal(pid, program.pid)
    const before = listenersOf(pid)
    assert.equal(before.length, 2, 'mesh and data')
    await unheeded(program, inLog)
    assert.deepEqual(listenersOf(pid), before)
    assert.doesNotMatch(program.stderr, /Debugger/)
    assert.equal((await localCall(join(runtimeDir, 'agent.sock'), 'WorkloadService/GetStatus')).status, 200)
    assert.equal((await program.stop()).code, 0)
  })
}

test('a signal at whatever moment of its start opens no debugger in warren', async t => {
  const scope = scopeOf(t)
  const outcomes: string[] = []
  // The system kills what has no handler yet; a debugger would be told on standard error.
  for (let delayMs = 0; delayMs < 120; delayMs += 8) {
    const program = new Program(scope, [WARREN, 'status', '--runtime-dir', scope.directory()])
    const timer = setTimeout(() => program.hasEnded || program.signal('SIGUSR1'), delayMs)
    const { code, signal, stderr } = await program.outcome()
    clearTimeout(timer)
    assert.doesNotMatch(stderr, /Debugger/, `after ${delayMs} ms`)
    outcomes.push(signal ?? String(code))
  }
  t.diagnostic(outcomes.join(' '))
})

test('no signal opens a port of a command that runs, nor ends it, nor cuts what goes through it', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  const echo = createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  scope.defer(() => echo.close())
  await once(echo, 'listening')
  const { port } = echo.address() as { port: number }
  const run = async (args: string[], ready: RegExp, stream: 'stdout' | 'stderr' = 'stdout'): Promise<Program> => {
    const program = new Program(scope, [...DETACHED, WARREN, '--runtime-dir', a.runtimeDir, ...args])
    await program.says(ready, stream)
    return program
  }
  const expose = await run(['expose', SITE, '--tcp', `127.0.0.1:${port}`], /dev\.web\.site/)
  const forward = await run(['forward', SITE, '--as', SHOP, '--listen', '127.0.0.1:0'], /127\.0\.0\.1:\d+/)
  const datagrams = await run(['forward', SITE, '--as', SHOP, '--udp', '--listen', '127.0.0.1:0'], /127\.0\.0\.1:\d+/)
  const serve = await run(['serve', 'dev.web.plain.default'], /serving/, 'stderr')
  const out = join(scope.directory(), 'svid')
  const svid = await run(['svid', 'fetch', SHOP, '--out', out, '--watch'], /spiffe:/)
  const client = await run(['connect', 'dev.web.plain.default', '--as', SHOP], /connected/, 'stderr')
  const socket = connect(Number(/:(\d+)/.exec(forward.stdout)?.[1]), '127.0.0.1')
  socket.on('error', () => {})
  scope.defer(() => socket.destroy())
  assert.equal(await answer(socket, 'before'), 'before')

  const programs = { expose, forward, datagrams, serve, svid }
  for (const [name, program] of Object.entries(programs)) {
    const before = listenersOf(program.pid)
    await unheeded(program, inWords)
    assert.deepEqual(listenersOf(program.pid), before, name)
    assert.doesNotMatch(program.stderr, /Debugger/, name)
  }
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) client.signal(signal)
  client.stdin.write('after\n')
  await serve.says(/after/)
  assert.deepEqual(listenersOf(client.pid), [])
  assert.doesNotMatch(client.stderr, /Debugger/)

  assert.equal(await answer(socket, 'after'), 'after', 'the connection that was open')
  for (const [name, program] of Object.entries(programs)) assert.equal((await program.stop()).code, 0, name)
})

/** What comes back for `text`. */
async function answer(socket: Socket, text: string): Promise<string> {
  const data = once(socket, 'data')
  socket.write(text)
  return String((await data)[0])
}

test('what was started by nohup goes on after SIGHUP, agent and commands, and says nothing of it', async t => {
  const scope = scopeOf(t)
  const { program, runtimeDir } = await startAgent(scope, ['nohup', WARREN])
  const served = ['--runtime-dir', runtimeDir, 'serve', SITE]
  const serve = new Program(scope, ['nohup', WARREN, ...served])
  await serve.says(/serving/, 'stderr')
  for (const [one, told] of [
    [program, inLog],
    [serve, inWords]
  ] as const) {
    // The kernel delivers the lower number first.
    one.signal('SIGHUP')
    one.signal('SIGUSR2')
    await one.says(new RegExp(told('SIGUSR2')), 'stderr')
    assert.doesNotMatch(one.stderr, /SIGHUP/)
    assert.equal((await one.stop()).code, 0)
  }
})

/** Runs `argv` in a terminal of its own, which goes away with the program that is returned; with the pid of what runs in it. */
async function inTerminal(scope: Scope, argv: readonly string[], before = ''): Promise<readonly [Program, number]> {
  const words = argv.map(word => `'${word}'`).join(' ')
  const terminal = new Program(scope, ['script', '-qefc', `${before} echo "process $$"; exec ${words}`, '/dev/null'])
  const [, found = ''] = await terminal.says(/process (\d+)/)
  const pid = Number(found)
  scope.defer(() => {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  })
  return [terminal, pid]
}

test('what runs in a terminal ends when that goes away, agent and commands, unless SIGHUP was ignored at its start', async t => {
  if (!needsCommand(t, 'script')) return
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const serve = [WARREN, '--runtime-dir', a.runtimeDir, 'serve']
  const [one, ending] = await inTerminal(scope, [...serve, 'dev.web.one.default'])
  const [other, staying] = await inTerminal(scope, [...serve, 'dev.web.other.default'], `trap '' HUP;`)
  for (const terminal of [one, other]) {
    await terminal.says(/serving/)
    await terminal.kill()
  }
  await waitFor(() => !existsSync(`/proc/${ending}`), 'the command to end with its terminal')
  await waitFor(async () => (await a.status()).registrations === 1, 'what it registered to end with it')
  process.kill(staying, 'SIGTERM')
  await waitFor(async () => ((await a.status()).registrations ?? 0) === 0, 'the other one to end as it was asked')

  const [terminal, agent] = await inTerminal(scope, [WARREN, 'up', ...optionsOf(scope)])
  await terminal.says(/"event":"ready"/)
  await terminal.kill()
  await waitFor(() => !existsSync(`/proc/${agent}`), 'the agent to end with its terminal')
})

test('an agent goes on when nobody takes its log any more', async t => {
  if (!needsCommand(t, 'script')) return
  const scope = scopeOf(t)
  const options = optionsOf(scope)
  const socket = join(options[options.indexOf('--runtime-dir') + 1] ?? '', 'agent.sock')
  const [terminal, agent] = await inTerminal(scope, [WARREN, 'up', ...options], `trap '' HUP;`)
  await terminal.says(/"event":"ready"/)
  await terminal.kill()
  // Each is a line of log, which the terminal that is gone refuses, and the answer comes after it.
  for (let count = 0; count < 3; count += 1) {
    process.kill(agent, 'SIGUSR2')
    assert.equal((await localCall(socket, 'WorkloadService/GetStatus')).status, 200)
  }
  process.kill(agent, 'SIGTERM')
  await waitFor(() => !existsSync(socket), 'the agent to end in order')
})
