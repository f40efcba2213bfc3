import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { probeTarget } from '../../src/proxy/inbound/probe.ts'
import { scopeOf } from '../harness/index.ts'

const nobody = { listenerOf: () => ({ uid: 0, view: () => undefined, isSelf: false }) }

for (const [how, greeting] of [
  ['greets first', '220 mail.example ready\r\n'],
  ['says much at once', 'x'.repeat(100_000)],
  ['waits for its client', '']
] as const) {
  test(`a server that ${how} sees an orderly end of a health check, not a reset`, async t => {
    const scope = scopeOf(t)
    const accepted = Promise.withResolvers<Socket>()
    // As most servers do, it answers the end of its client with its own.
    const server = createServer(socket => {
      accepted.resolve(socket)
      socket.resume().write(greeting)
    }).listen(0, '127.0.0.1')
    scope.defer(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const probed = probeTarget(
      { kind: 'tcp', host: '127.0.0.1', port, server: undefined },
      'connect',
      nobody,
      AbortSignal.timeout(5_000)
    )
    const socket = await accepted.promise
    let failure: Error | undefined
    socket.on('error', err => {
      failure = err
    })
    const [hadError] = await once(socket, 'close')
    assert.equal(failure, undefined)
    assert.equal(hadError, false)
    await probed
  })
}

test('a health check passes though the server never ends its side, and does not wait for that', async t => {
  const scope = scopeOf(t)
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.resume().on('error', () => {})
    scope.defer(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  scope.defer(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await probeTarget(
    { kind: 'tcp', host: '127.0.0.1', port, server: undefined },
    'connect',
    nobody,
    AbortSignal.timeout(5_000)
  )
})
