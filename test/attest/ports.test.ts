import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { constants } from 'node:os'
import test from 'node:test'
import { type AskPort, portLookup } from '../../src/attest/index.ts'
import { addressBytes } from '../../src/attest/ports/address-bytes.ts'
import { encodeQuestion } from '../../src/attest/ports/inet-diag.ts'
import { SockDiag } from '../../src/attest/ports/sock-diag.ts'
import { asRoot, at, Program, type Scope, scopeOf } from '../harness/index.ts'

const UID = process.getuid?.() ?? -1
const OTHER = 61_301
const onLinux = { skip: process.platform === 'linux' ? false : 'sock_diag is of Linux' }

function requester(): AskPort {
  const ask = portLookup()
  assert.ok(ask !== undefined)
  return ask
}

async function tcp(
  scope: Scope,
  host: string,
  port = 0,
  options: object = {}
): Promise<{ server: Server; port: number }> {
  const server = createServer().listen({ host, port, ...options })
  scope.defer(() => void server.close())
  await once(server, 'listening')
  const bound = server.address()
  assert.ok(bound !== null && typeof bound === 'object')
  return { server, port: bound.port }
}

async function udp(scope: Scope, host: string, port = 0, reuseAddr = false): Promise<UdpSocket> {
  const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', reuseAddr })
  let isOpen = true
  socket.once('close', () => {
    isOpen = false
  })
  scope.defer(() => void (isOpen && socket.close()))
  socket.bind(port, host)
  await once(socket, 'listening')
  return socket
}

/** Whatever it fails with. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise<void>(resolve => socket.once('close', () => resolve()))
}

async function connected(socket: UdpSocket, port: number, host: string): Promise<UdpSocket> {
  socket.connect(port, host)
  await once(socket, 'connect')
  return socket
}

test('the holder of a port is named for each family on its own', onLinux, async t => {
  const scope = scopeOf(t)
  const ask = requester()
  for (const [bound, host, isHeld] of [
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['127.0.0.1', '::1', false],
    ['0.0.0.0', '127.0.0.1', true],
    ['0.0.0.0', '::1', false],
    ['::1', '::1', true],
    ['::1', '127.0.0.1', false],
    // A socket of IPv6 that takes connections of IPv4 as well.
    ['::', '127.0.0.1', true],
    ['::', '::1', true]
  ] as const) {
    const name = `${host} beside a server at ${bound}`
    const { port } = await tcp(scope, bound)
    const found = ask({ protocol: 'tcp', host, port })
    assert.equal(found?.uid, isHeld ? UID : undefined, name)
    assert.equal(ask({ protocol: 'udp', host, port })?.uid, undefined, `${name}, for UDP`)
  }
  const { port } = await tcp(scope, '::', 0, { ipv6Only: true })
  assert.equal(ask({ protocol: 'tcp', host: '127.0.0.1', port }), undefined)
  assert.equal(ask({ protocol: 'tcp', host: '::1', port })?.uid, UID)
  for (const [bound, host, isHeld] of [
    ['0.0.0.0', '127.0.0.1', true],
    ['127.0.0.1', '::1', false],
    ['::', '127.0.0.1', true],
    ['::1', '::1', true]
  ] as const) {
    const socket = await udp(scope, bound)
    assert.equal(ask({ protocol: 'udp', host, port: socket.address().port })?.uid, isHeld ? UID : undefined, bound)
  }
})

test('the user of a port is the one whose process made the socket', { ...asRoot }, async t => {
  const scope = scopeOf(t)
  const ask = requester()
  const script = `
    const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
      const socket = require('node:dgram').createSocket('udp4')
      socket.bind(0, () => console.log('PORTS', server.address().port, socket.address().port))
    })`
  const program = new Program(scope, at({ uid: OTHER }, [process.execPath, '-e', script]))
  const [, stream, datagram] = await program.says(/PORTS (\d+) (\d+)/)
  assert.equal(ask({ protocol: 'tcp', host: '127.0.0.1', port: Number(stream) })?.uid, OTHER)
  assert.equal(ask({ protocol: 'udp', host: '127.0.0.1', port: Number(datagram) })?.uid, OTHER)
})

test('each socket has a cookie of its own, and keeps it', onLinux, async t => {
  const scope = scopeOf(t)
  const ask = requester()
  const { server, port } = await tcp(scope, '127.0.0.1')
  const question = { protocol: 'tcp', host: '127.0.0.1', port } as const
  const first = ask(question)
  assert.equal(ask(question)?.cookie, first?.cookie)
  server.close()
  await once(server, 'close')
  assert.equal(ask(question), undefined)
  await tcp(scope, '127.0.0.1', port)
  assert.notEqual(ask(question)?.cookie, first?.cookie)
  assert.notEqual(ask(question), undefined)
  // Several that share a port are of one user, which the kernel sees to; one of them is named.
  const shared = await tcp(scope, '127.0.0.1', 0, { reusePort: true })
  await tcp(scope, '127.0.0.1', shared.port, { reusePort: true })
  assert.equal(ask({ ...question, port: shared.port })?.uid, UID)
})

test('a sender of datagrams learns of a socket that was connected to it alone', onLinux, async t => {
  const scope = scopeOf(t)
  const ask = requester()
  const server = await udp(scope, '127.0.0.1', 0, true)
  const { port } = server.address()
  const client = await connected(await udp(scope, '127.0.0.1'), port, '127.0.0.1')
  const from = { host: '127.0.0.1', port: client.address().port }
  const question = { protocol: 'udp', host: '127.0.0.1', port } as const
  const before = ask({ ...question, from })
  // Both said that they share the port; the other user's would be found in the same way.
  await connected(await udp(scope, '127.0.0.1', port, true), from.port, '127.0.0.1')
  const after = ask({ ...question, from })
  assert.ok(before !== undefined && after !== undefined)
  assert.notEqual(after.cookie, before.cookie)
  assert.equal(ask(question)?.cookie, before.cookie)
})

test('the server’s end of a connection is found in whatever state, and its listener is none', onLinux, async t => {
  const scope = scopeOf(t)
  const ask = requester()
  for (const [bound, host] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.2'],
    // The server's end is then a socket of IPv6 with mapped addresses.
    ['::', '127.0.0.1'],
    ['::', '::1']
  ] as const) {
    const { server, port } = await tcp(scope, bound)
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = connect({ host, port, allowHalfOpen: true }).on('error', () => {})
    scope.defer(() => void client.destroy())
    await once(client, 'connect')
    const [ours, end] = [client.localPort ?? 0, client.localAddress ?? '']
    const isFound = () => ask({ protocol: 'tcp', host, port, from: { host: end, port: ours } }) !== undefined
    assert.ok(isFound(), bound)
    assert.equal(ask({ protocol: 'tcp', host, port, from: { host: end, port: ours ^ 1 } }), undefined, bound)
    const [peer] = await accepted
    // Closed at once and in order, as by a server that has too many connections.
    peer.destroy()
    client.resume()
    await once(client, 'end')
    assert.ok(isFound(), `${bound}, closed`)
    client.end()
    await closed(client)
    assert.ok(isFound(), `${bound}, over`)
    const again = once(server, 'connection') as Promise<[Socket]>
    const other = connect({ host, port }).on('error', () => {})
    await once(other, 'connect')
    const from = { host: other.localAddress ?? '', port: other.localPort ?? 0 }
    ;(await again)[0].resetAndDestroy()
    await closed(other)
    assert.equal(ask({ protocol: 'tcp', host, port, from }), undefined, `${bound}, reset`)
  }
})

/** A kernel that answers as it is told to, to questions about any port. */
function kernel(answers: (question: Buffer) => ReadonlyArray<{ bytes: Buffer; from?: number }>) {
  const open = new Set<number>()
  let next = 1_000
  let waiting: Array<{ bytes: Buffer; from?: number }> = []
  const calls = {
    socket: () => {
      next += 1
      open.add(next)
      return next
    },
    send: (_fd: number, bytes: Buffer) => {
      waiting = [...answers(Buffer.from(bytes))]
      return bytes.length
    },
    receive: (_fd: number, bytes: Buffer, _size: number, _flags: number, from: Buffer) => {
      const answer = waiting.shift()
      if (answer === undefined) return -1
      from.writeUInt32LE(answer.from ?? 0, 4)
      return answer.bytes.copy(bytes)
    },
    bind: () => 0,
    listen: () => 0,
    nameOf: (_fd: number, name: Buffer) => name.writeUInt16BE(4_711, 2) && 0,
    close: (fd: number) => (open.delete(fd) ? 0 : -1)
  }
  return { diag: new SockDiag(calls), open }
}

function header(length: number, type: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.writeUInt32LE(length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt32LE(sequence, 8)
  return bytes
}

const sequenceOf = (question: Buffer): number => question.readUInt32LE(8)

function errorAnswer(question: Buffer, errno: number): Buffer {
  const bytes = header(36, 2, sequenceOf(question))
  bytes.writeInt32LE(-errno, 16)
  return bytes
}

function holderAnswer(question: Buffer, uid: number, port: number): Buffer {
  const bytes = header(88, 20, sequenceOf(question))
  bytes.writeUInt8(10, 17)
  bytes.writeUInt16BE(port, 20)
  bytes.writeUInt32LE(uid, 16 + 64)
  return bytes
}

test('what is not the kernel’s answer to the very question is no answer', async () => {
  const question = { protocol: 'tcp', host: '127.0.0.1', port: 80 } as const
  const { EPERM, ENOENT } = constants.errno
  const right = (asked: Buffer) => ({ bytes: holderAnswer(asked, 7, 80) })
  const late = (asked: Buffer) => {
    const bytes = holderAnswer(asked, 8, 80)
    bytes.writeUInt32LE(sequenceOf(asked) - 1, 8)
    return { bytes }
  }
  const foreign = (asked: Buffer) => ({ bytes: holderAnswer(asked, 9, 80), from: 4_242 })
  assert.equal(kernel(asked => [late(asked), foreign(asked), right(asked)]).diag.ask(question)?.uid, 7)
  for (const [name, answers, expected] of [
    ['nothing', () => [], /recvfrom failed/],
    ['only answers to others', asked => Array(20).fill(late(asked)), /does not answer/],
    ['only another program', asked => Array(20).fill(foreign(asked)), /does not answer/],
    ['an error', asked => [{ bytes: errorAnswer(asked, EPERM) }], /errno 1/],
    ['another port', asked => [{ bytes: holderAnswer(asked, 7, 81) }], /another port/],
    ['half an answer', asked => [{ bytes: holderAnswer(asked, 7, 80).subarray(0, 60) }], /recvfrom failed/],
    // A kernel without the module for the protocol says so of each socket, its own one included.
    ['that nothing is known of it', asked => [{ bytes: errorAnswer(asked, ENOENT) }], /knows no sockets of tcp/]
  ] as ReadonlyArray<readonly [string, Parameters<typeof kernel>[0], RegExp]>) {
    const { diag, open } = kernel(answers)
    assert.throws(() => diag.ask(question), expected, name)
    diag.close()
    assert.equal(open.size, 0, `${name}: nothing stays open`)
  }
})

test('nobody is asked where no system can be', () => {
  assert.equal(portLookup('darwin'), undefined)
  assert.equal(portLookup('freebsd'), undefined)
})

test('addresses are put to the kernel in network order', () => {
  for (const [text, is6, hex] of [
    ['127.0.0.1', false, '7f000001'],
    ['::1', true, `${'0'.repeat(31)}1`],
    ['::', true, '0'.repeat(32)],
    ['fe80::1:2%eth0', true, `fe80${'0'.repeat(20)}00010002`],
    ['2001:db8:1:2:3:4:5:6', true, '20010db8000100020003000400050006'],
    ['::ffff:10.1.2.3', true, `${'0'.repeat(20)}ffff0a010203`],
    ['10.1.2.3', true, `${'0'.repeat(20)}ffff0a010203`]
  ] as const) {
    assert.equal(addressBytes(text, is6).toString('hex'), hex, text)
  }
  assert.throws(() => addressBytes('localhost', true), RangeError)
  assert.throws(() => addressBytes('::1', false), RangeError)
  assert.throws(
    () => encodeQuestion({ protocol: 'udp', host: '::1', port: 1, from: { host: 'x', port: 2 } }, 1),
    RangeError
  )
})
