import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import test from 'node:test'
import { growPortBuffers } from '../../src/udp/index.ts'
import { asRoot, scopeOf, startPair, waitFor } from '../harness/index.ts'

const SERVER = 'dev.web.sink.default'
const CLIENT = 'dev.shop.cart.default'
const DATAGRAMS = 4_000
const DATAGRAM_BYTES = 512

test('forward loses nothing of a burst that comes while its agent gets no processor', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const sink = createSocket('udp4').bind(0, '127.0.0.1')
  scope.defer(async () => void sink.close())
  await once(sink, 'listening')
  growPortBuffers(sink, 8 * 1024 * 1024)
  const arrived = new Set<number>()
  sink.on('message', payload => arrived.add(payload.readUInt32BE(0)))

  await a.spawn(['expose', SERVER, '--udp', `127.0.0.1:${sink.address().port}`]).says(/^dev\./m)
  await b.knows(SERVER)
  await a.allow(CLIENT, SERVER)
  await b.follows(a)
  const forward = b.spawn(['forward', SERVER, '--udp', '--listen', '127.0.0.1:0', '--as', CLIENT])
  const [, port = ''] = await forward.says(/^127\.0\.0\.1:(\d+)$/m)
  const client = createSocket('udp4')
  scope.defer(async () => void client.close())
  const send = (index: number): Promise<void> => {
    const payload = Buffer.alloc(DATAGRAM_BYTES)
    payload.writeUInt32BE(index)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    client.send(payload, Number(port), '127.0.0.1', err => (err === null ? resolve() : reject(err)))
    return promise
  }
  await waitFor(async () => {
    await send(0)
    return arrived.has(0) && /"carrier": ?"udp"/.test(await b.cli('flows', '--json'))
  }, 'the datagram path')

  process.kill(b.pid, 'SIGSTOP')
  for (let index = 1; index <= DATAGRAMS; index += 1) await send(index)
  process.kill(b.pid, 'SIGCONT')
  await waitFor(() => arrived.size === DATAGRAMS + 1, 'all of them', 20_000).catch(() => {})
  assert.equal(arrived.size, DATAGRAMS + 1)
})
