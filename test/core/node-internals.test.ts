import assert from 'node:assert/strict'
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test from 'node:test'
import {
  checkNodeInternals,
  datagramDescriptorOf,
  descriptorOf,
  type Logger,
  silentLogger
} from '../../src/core/index.ts'

function recorder() {
  const lines: string[] = []
  const log: Logger = {
    ...silentLogger,
    warn: (_, { component, reason } = {}) => {
      lines.push(`${component}: ${reason}`)
    }
  }
  return { lines, log }
}

test('this Node is inside as is expected, and no warning is logged', () => {
  const { lines, log } = recorder()
  checkNodeInternals(log)
  assert.deepEqual(lines, [])
})

test('an agent does not start on a Node that does not show the descriptors of sockets', async () => {
  const hidden = (options: { readonly path: string }): Socket => {
    const socket = connect(options)
    return new Proxy(socket, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name)
        return name === '_handle' ? {} : typeof member === 'function' ? member.bind(target) : member
      }
    })
  }
  assert.throws(() => checkNodeInternals(silentLogger, { connect: hidden, createSocket }), {
    code: 'UNSUPPORTED',
    message: /does not show the descriptors of sockets/
  })
})

test('a Node that does not show the descriptors of UDP sockets is reported once, and the agent starts', () => {
  const { lines, log } = recorder()
  const bare = { close: () => {} } as unknown as DatagramSocket
  checkNodeInternals(log, { connect, createSocket: () => bare })
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /^node: it does not show the descriptors of UDP sockets/)
  assert.equal(datagramDescriptorOf(bare)(), undefined)
})

test('a connected socket has a descriptor, and a closed one has none', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  assert.ok(descriptorOf(socket) > 2)
  socket.destroy()
  assert.throws(() => descriptorOf(socket), TypeError)

  const datagram = createSocket('udp4')
  const descriptor = datagramDescriptorOf(datagram)
  assert.equal(descriptor(), undefined, 'not bound')
  datagram.bind(0, '127.0.0.1')
  await once(datagram, 'listening')
  assert.ok((descriptor() ?? 0) > 2)
  datagram.close()
  assert.equal(descriptor(), undefined)
})
