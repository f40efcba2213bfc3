import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { growBuffers, growPortBuffers } from '../../src/udp/index.ts'
import { asRoot } from '../harness/index.ts'

async function bound(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  return socket
}

test('a port has the buffer that was asked for, also where the system gives programs less', asRoot, async t => {
  const asked = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8')) + 65_536
  const [port, other] = [await bound(t), await bound(t)]
  growPortBuffers(port, asked)
  growBuffers(other, asked)
  // Linux doubles what is asked for, for what it notes of each datagram.
  assert.equal(port.getRecvBufferSize(), 2 * asked)
  assert.ok(other.getRecvBufferSize() < 2 * asked)
})

test('a socket that is closed is left alone', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  socket.close()
  growPortBuffers(socket, 65_536)
})
