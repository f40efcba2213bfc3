import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AgentClient, type ConnectionListener, listen } from '../../src/client/index.ts'
import { FakeAgent } from '../client/fake-agent.ts'
import { type Program, scopeOf, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const ADDRESS = 'dev.web.echo.default'

/** A fake agent that also lists services, and a server behind it. */
async function setUp(t: TestContext, onConnection: ConnectionListener) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  const { runtimeDir } = await fakeApi(t, {
    workload: {
      register: request => client.workload.register(request),
      keep: (request, _caller, signal) => client.workload.keep(request, { signal }),
      deregister: request => client.workload.deregister(request),
      connect: request => client.workload.connect(request),
      listServices: async () => ({ services: [] })
    }
  })
  await listen(ADDRESS, { client }, onConnection)
  const run = (...args: string[]): Program => warren(scopeOf(t), args, {}, runtimeDir)
  return { agent, run }
}

async function start(t: TestContext, run: (...args: string[]) => Program) {
  const program = run('forward', ADDRESS, '--listen', '127.0.0.1:0')
  const [, port] = await program.says(/^127\.0\.0\.1:(\d+)$/m)
  const dial = (): Socket => {
    const socket = connectSocket({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true })
    t.after(() => socket.destroy())
    return socket
  }
  return { program, dial }
}

async function read(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => {
    text += String(chunk)
  })
  await once(socket, 'end')
  return text
}

test('each local client is a connection of its own, and half-close goes through both ways', async t => {
  const { run } = await setUp(t, async (socket, peer) => {
    const request = await read(socket)
    socket.end(`${peer.address} sent ${request}`)
  })
  const { program, dial } = await start(t, run)
  await program.says(/as dev\.user\.[^.]+\.default$/m, 'stderr')
  await program.says(/nothing registered matches/, 'stderr')
  const replies = await Promise.all(
    ['one', 'two', 'three'].map(word => {
      const socket = dial()
      socket.end(word)
      return read(socket)
    })
  )
  assert.deepEqual(
    replies.map(reply => reply.replace(/^dev\.user\.[^.]+\.default\.m1/, 'I')),
    ['I sent one', 'I sent two', 'I sent three']
  )
  assert.equal((await program.stop()).code, 0)
})

test('a cut connection is a reset at the local client, never a clean end', async t => {
  const { agent, run } = await setUp(t, socket => {
    socket.on('error', () => {}).write('half an ans')
  })
  const { program, dial } = await start(t, run)
  const socket = dial()
  await once(socket, 'data')
  agent.cut()
  await assert.rejects(once(socket, 'end'), { code: 'ECONNRESET' })
  await program.says(/STREAM_TRUNCATED/, 'stderr')
})

test('a refused client is reset, the reason is told, and the next one is served', async t => {
  const { agent, run } = await setUp(t, socket => void socket.end('welcome'))
  agent.firstBytes = Buffer.from('not a hello')
  const { program, dial } = await start(t, run)
  await assert.rejects(once(dial(), 'end'), { code: 'ECONNRESET' })
  await program.says(/^warren: (MESSAGE_TOO_LARGE|STREAM_TRUNCATED|CANNOT_CONNECT|MESSAGE_MALFORMED): /m, 'stderr')
  agent.firstBytes = undefined
  const socket = dial()
  assert.equal(await read(socket), 'welcome')
})

test('the end of forward resets its clients and frees the port', async t => {
  const { run } = await setUp(t, socket => void socket.on('error', () => {}).write('hi'))
  const { program, dial } = await start(t, run)
  const socket = dial()
  await once(socket, 'data')
  const reset = assert.rejects(once(socket, 'end'), { code: 'ECONNRESET' })
  assert.equal((await program.stop()).code, 0)
  await reset
  await assert.rejects(once(dial(), 'connect'), { code: 'ECONNREFUSED' })
})

test('a listener on a unix socket is for this user only, replaces a dead one, and is removed at the end', async t => {
  const { run } = await setUp(t, socket => void socket.end('welcome'))
  const path = join(scopeOf(t).directory(), 'app.sock')
  const listenOption = `unix:${path}`
  const dead = run('forward', ADDRESS, '--listen', listenOption)
  await dead.says(/^unix:/m)
  await dead.kill()
  assert.ok(existsSync(path))
  const program = run('forward', ADDRESS, '--listen', listenOption)
  await program.says(/^unix:/m)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const socket = connectSocket({ path, allowHalfOpen: true })
  assert.equal(await read(socket), 'welcome')
  socket.destroy()
  assert.equal((await program.stop()).code, 0)
  assert.equal(existsSync(path), false)
})

test('a port in use is said in one line', async t => {
  const { run } = await setUp(t, () => {})
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const { code, stderr } = await run('forward', ADDRESS, '--listen', `127.0.0.1:${port}`).outcome()
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^warren: PORT_IN_USE: another program listens on 127\\.0\\.0\\.1:${port}\\n {2}\\S`))
})

for (const flags of [[], ['--udp']]) {
  const kind = flags[0] ?? 'streams'
  test(`forward puts its socket in the place of no file, link, fifo or directory (${kind})`, async t => {
    const { run } = await setUp(t, () => {})
    const directory = scopeOf(t).directory()
    const at = (name: string): string => join(directory, name)
    for (const name of ['file', 'target']) writeFileSync(at(name), 'precious')
    symlinkSync(at('target'), at('link'))
    mkdirSync(at('directory'))
    execFileSync('mkfifo', [at('fifo')])
    const forward = (path: string) => run('forward', ADDRESS, ...flags, '--listen', `unix:${path}`).outcome()
    for (const [name, is] of [
      ['file', 'a file'],
      ['link', 'a symbolic link'],
      ['directory', 'a directory'],
      ['fifo', 'a fifo']
    ] as const) {
      const before = lstatSync(at(name))
      const { code, stderr } = await forward(at(name))
      assert.match(stderr, new RegExp(`^warren: INVALID_ARGUMENT: ${at(name)} exists and is ${is}, not a socket$`, 'm'))
      assert.equal(code, 2)
      const after = lstatSync(at(name))
      assert.deepEqual([after.ino, after.mode], [before.ino, before.mode], name)
    }
    for (const name of ['file', 'target']) assert.equal(readFileSync(at(name), 'utf8'), 'precious')
    const nowhere = await forward(at('no/s'))
    assert.deepEqual(
      [nowhere.code, /the directory .*no does not exist/.test(nowhere.stderr)],
      [2, true],
      nowhere.stderr
    )
    const long = await forward(at('x'.repeat(110)))
    assert.deepEqual([long.code, /bytes, the system allows 10[37]/.test(long.stderr)], [2, true], long.stderr)
    assert.deepEqual(readdirSync(directory).sort(), ['directory', 'fifo', 'file', 'link', 'target'])
  })

  test(`of forwards that start at once over the socket of a dead one, one listens, and the others say so (${kind})`, async t => {
    const { run } = await setUp(t, socket => void socket.end('welcome'))
    const path = join(scopeOf(t).directory(), 'app.sock')
    const forward = (): Program => run('forward', ADDRESS, ...flags, '--listen', `unix:${path}`)
    const dead = forward()
    await dead.says(/^unix:/m)
    await dead.kill()
    const all = [forward(), forward(), forward()]
    const outcomes = await Promise.all(
      all.map(program =>
        program.says(/^unix:/m).then(
          () => 'listens',
          () => (/PORT_IN_USE: another program (serves|listens)/.test(program.stderr) ? 'says so' : program.stderr)
        )
      )
    )
    assert.deepEqual(outcomes.toSorted(), ['listens', 'says so', 'says so'])
    const { ino } = lstatSync(path)
    const late = await forward().outcome()
    assert.deepEqual([late.code, /PORT_IN_USE/.test(late.stderr)], [1, true], late.stderr)
    assert.equal(lstatSync(path).ino, ino)
  })
}

test('forward removes at its end what it made, and not what came into its place', async t => {
  const { run } = await setUp(t, socket => void socket.end('welcome'))
  const path = join(scopeOf(t).directory(), 'app.sock')
  const first = run('forward', ADDRESS, '--listen', `unix:${path}`)
  await first.says(/^unix:/m)
  execFileSync('rm', [path])
  const second = run('forward', ADDRESS, '--listen', `unix:${path}`)
  await second.says(/^unix:/m)
  assert.equal((await first.stop()).code, 0)
  const socket = connectSocket({ path, allowHalfOpen: true })
  assert.equal(await read(socket), 'welcome')
  socket.destroy()
})
