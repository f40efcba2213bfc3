import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test from 'node:test'
import type { MessageStream } from '@libp2p/interface'
import { gatherWrites } from '../../src/mesh/libp2p-shims/gather-writes.ts'
import { scopeOf } from '../harness/index.ts'

test('what is written to a connection in one turn leaves by one call, what follows does as well, and the end is kept', async t => {
  const scope = scopeOf(t)
  const server = createServer().listen(0, '127.0.0.1')
  scope.defer(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  const [peer] = await accepted
  const calls: number[] = []
  const { _write, _writev } = socket
  socket._write = function (chunk, encoding, done) {
    calls.push(1)
    _write.call(this, chunk, encoding, done)
  }
  socket._writev = function (chunks, done) {
    calls.push(chunks.length)
    _writev?.call(this, chunks, done)
  }
  gatherWrites({ socket } as unknown as MessageStream)
  const received: Buffer[] = []
  peer.on('data', (chunk: Buffer) => received.push(chunk))

  for (const text of ['a', 'b', 'c']) socket.write(text)
  await once(peer, 'data')
  for (const text of ['d', 'e']) socket.write(text)
  socket.end()
  await once(peer, 'end')

  assert.equal(Buffer.concat(received).toString(), 'abcde')
  assert.deepEqual(calls, [3, 2])
})

test('a connection without a socket of its own is left as it is', () => {
  const relayed = { send: () => true }
  gatherWrites(relayed as unknown as MessageStream)
  assert.deepEqual(Object.keys(relayed), ['send'])
})
