import assert from 'node:assert/strict'
import test from 'node:test'
import {
  asRoot,
  at,
  createHosts,
  type Host,
  Program,
  type Scope,
  scopeOf,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const ECHO = 'dev.web.echo.default'

/** Connects, says each line of its input, and prints each answer and the end. */
const CLIENT = `
const socket = require('node:net').connect(Number(process.argv[2]), process.argv[1])
socket.on('data', data => console.log('got ' + data)).on('error', err => console.log(err.code))
socket.on('close', () => console.log('closed'))
process.stdin.on('data', data => socket.write(String(data).trim()))`

const SERVER = `
const server = require('node:net').createServer(socket => {
  socket.on('error', () => {}).on('close', () => console.log('closed')).pipe(socket)
})
server.listen(8080, '127.0.0.1', () => console.log('listening'))`

function run(scope: Scope, host: Host, script: string, ...args: string[]): Program {
  return new Program(scope, at({ host }, [process.execPath, '-e', script, ...args]))
}

/** The TCP connections of a host that `filter` selects, with their timers. */
function connections(host: Host, filter: string): string[] {
  return host.run('ss', '-Htno', 'state', 'established', filter).split('\n').filter(Boolean)
}

async function setUp(scope: Scope, host: Host) {
  const echo = run(scope, host, SERVER)
  await echo.says(/^listening$/m)
  const a = await new TestAgent(scope, { host, name: 'a', args: ['--init', 'example.org'] }).start()
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await a.spawn(['expose', ECHO, '--tcp', '127.0.0.1:8080', '--no-health-check']).says(/dev\.web\.echo/)
  await a.knows(ECHO)
  return { a, echo }
}

test('a client of forward that vanishes is disconnected, and one that is silent is not', asRoot, async t => {
  const scope = scopeOf(t)
  const [here, there] = await createHosts(scope, 'here', 'there')
  const { a, echo } = await setUp(scope, here)
  const forward = a.spawn(['forward', ECHO, '--listen', '0.0.0.0:9090', '--keepalive', '1s'])
  await forward.says(/leads to/, 'stderr')

  const silent = run(scope, here, CLIENT, '127.0.0.1', '9090')
  const vanishing = run(scope, there, CLIENT, here.ip, '9090')
  for (const client of [silent, vanishing]) {
    client.stdin.write('hello\n')
    await client.says(/^got hello$/m)
  }
  const remote = `sport = 9090 and dst ${there.ip}`
  assert.equal(connections(here, remote).length, 1)
  here.cut(there)
  await echo.says(/^closed$/m)
  await waitFor(() => connections(here, remote).length === 0, 'the connection of the vanished client to go')
  await waitFor(async () => (await a.cli('flows')).split(ECHO).length === 2, 'its flow to go')

  silent.stdin.write('still here\n')
  await silent.says(/^got still here$/m)
})

test('forward asks after a minute of silence by default, and never with --keepalive 0', asRoot, async t => {
  const scope = scopeOf(t)
  const [here, there] = await createHosts(scope, 'here', 'there')
  const { a } = await setUp(scope, here)
  for (const [port, more, timer] of [
    ['9090', [], /timer:\(keepalive,(\d+sec|1min)/],
    ['9091', ['--keepalive', '0'], /^(?!.*timer:)/]
  ] as const) {
    await a.spawn(['forward', ECHO, '--listen', `0.0.0.0:${port}`, ...more]).says(/leads to/, 'stderr')
    const client = run(scope, there, CLIENT, here.ip, port)
    client.stdin.write('hello\n')
    await client.says(/^got hello$/m)
    await waitFor(() => timer.test(connections(here, `sport = ${port}`).join('\n')), `the timer of port ${port}`)
  }
})

test('the agent asks whether the server of a port is still there', asRoot, async t => {
  const scope = scopeOf(t)
  const [here, there] = await createHosts(scope, 'here', 'there')
  const { a } = await setUp(scope, here)
  await a.spawn(['forward', ECHO, '--listen', '0.0.0.0:9090']).says(/leads to/, 'stderr')
  const client = run(scope, there, CLIENT, here.ip, '9090')
  client.stdin.write('hello\n')
  await client.says(/^got hello$/m)
  await waitFor(() => /timer:\(keepalive/.test(connections(here, 'dport = 8080').join('\n')), 'the timer')
})
