import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { callerOfLoopback, callerOfUnix, portLookup, senderOfLoopback } from '../../src/attest/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { asRoot, at, isInstalled, Program, type Scope, scopeOf, waitFor } from '../harness/index.ts'

const UID = process.getuid?.() ?? -1
const OTHER = 61_302
const onLinux = { skip: process.platform === 'linux' ? false : 'sock_diag is of Linux' }
const CLIENT =
  'const s = require("node:net").connect(JSON.parse(process.argv[1])); s.on("connect", () => console.log("connected")); s.on("error", () => {}); s.resume()'
const isDenied = (err: unknown): boolean => WarrenError.is(err, ErrorCode.PermissionDenied)

async function serve(scope: Scope, at: { host: string } | { path: string }): Promise<{ server: Server; port: number }> {
  const server = createServer({ pauseOnConnect: true }).listen('path' in at ? at : { port: 0, ...at })
  scope.defer(() => void server.close())
  await once(server, 'listening')
  const bound = server.address()
  return { server, port: bound !== null && typeof bound === 'object' ? bound.port : 0 }
}

async function accepted(scope: Scope, server: Server, begin: () => void): Promise<Socket> {
  const connection = once(server, 'connection') as Promise<[Socket]>
  begin()
  const [socket] = await connection
  socket.on('error', () => {})
  scope.defer(() => void socket.destroy())
  return socket
}

for (const host of ['127.0.0.1', '::1']) {
  test(`the user at the other end of a connection over ${host} is named`, onLinux, async t => {
    const scope = scopeOf(t)
    const { server, port } = await serve(scope, { host })
    const client = await accepted(scope, server, () => {
      const socket = connect({ host, port })
      scope.defer(() => void socket.destroy())
    })
    assert.equal(callerOfLoopback()(client), UID)
  })
}

test('a program of another user is named as that user, over a port and over a unix socket', asRoot, async t => {
  const scope = scopeOf(t)
  const path = join(scope.directory(), 'sock')
  const places = [{ host: '127.0.0.1' }, { path }]
  for (const place of places) {
    const { server, port } = await serve(scope, place)
    if ('path' in place) {
      chmodSync(path, 0o666)
      chmodSync(dirname(path), 0o755)
    }
    const argument = JSON.stringify({ ...place, port: 'path' in place ? undefined : port })
    const client = await accepted(scope, server, () => {
      new Program(scope, at({ uid: OTHER }, [process.execPath, '-e', CLIENT, argument]))
    })
    assert.equal(('path' in place ? callerOfUnix() : callerOfLoopback())(client), OTHER)
  }
})

test('a caller that has closed its end is nobody, and not the uid 0 that the kernel gives then', onLinux, async t => {
  const scope = scopeOf(t)
  const { server, port } = await serve(scope, { host: '127.0.0.1' })
  const uidOf = callerOfLoopback()
  const here = { host: '127.0.0.1', port }
  const client = await accepted(scope, server, () => {
    const socket = connect(here)
    socket.write('hello', () => socket.destroy())
  })
  const ask = portLookup()
  const { remotePort = 0 } = client
  await waitFor(() => {
    const theirs = ask?.({ protocol: 'tcp', host: '127.0.0.1', port: remotePort, from: here })
    return theirs === undefined || theirs.inode === 0 ? 'closed' : undefined
  }, 'the client to close')
  assert.throws(() => uidOf(client), isDenied)
})

test('a connection that was reset is nobody’s, whoever has its port by then', onLinux, async t => {
  const scope = scopeOf(t)
  const { server, port } = await serve(scope, { host: '127.0.0.1' })
  const uidOf = callerOfLoopback()
  const attacker = connect({ host: '127.0.0.1', port })
  const first = await accepted(scope, server, () => {})
  const { remotePort = 0 } = first
  attacker.resetAndDestroy()
  await once(attacker, 'close')
  const next = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort: remotePort })
  scope.defer(() => void next.destroy())
  const second = await accepted(scope, server, () => {})
  assert.equal(second.remotePort, remotePort)
  assert.equal(uidOf(second), UID)
  assert.throws(() => uidOf(first), isDenied)
})

test('where the kernel does not answer nobody is served', onLinux, async t => {
  const scope = scopeOf(t)
  const { server, port } = await serve(scope, { host: '127.0.0.1' })
  const client = await accepted(scope, server, () => {
    const socket = connect({ host: '127.0.0.1', port })
    scope.defer(() => void socket.destroy())
  })
  const uidOf = callerOfLoopback(() => {
    throw new Error('no netlink')
  })
  assert.throws(() => uidOf(client), isDenied)
  assert.throws(() => callerOfLoopback(undefined as never)(new (client.constructor as new () => Socket)()), isDenied)
})

test('a user of a container is nobody at a unix socket of the host', asRoot, async t => {
  if (!isInstalled('unshare')) return t.skip('needs unshare')
  const scope = scopeOf(t)
  const path = join(scope.directory(), 'sock')
  const { server } = await serve(scope, { path })
  const argv = ['unshare', '--pid', '--fork', '--mount-proc', process.execPath, '-e', CLIENT, JSON.stringify({ path })]
  const client = await accepted(scope, server, () => {
    new Program(scope, argv)
  })
  assert.throws(() => callerOfUnix()(client), isDenied)
})

test('the user who would get a datagram is named, and nobody where no socket has the port', onLinux, async t => {
  const scope = scopeOf(t)
  const [server, client] = [createSocket('udp4'), createSocket('udp4')]
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  scope.defer(() => void server.close())
  // As most programs do: bound to no address in particular.
  client.bind(0)
  await once(client, 'listening')
  const from = { host: '127.0.0.1', port: client.address().port }
  const to = { host: '127.0.0.1', port: server.address().port }
  assert.equal(senderOfLoopback()(from, to), UID)
  client.close()
  await once(client, 'close')
  assert.equal(senderOfLoopback()(from, to), undefined)
})
