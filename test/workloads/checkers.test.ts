import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { dialTarget, headerFor, probeFrame } from '../../src/proxy/index.ts'
import { type CheckIo, checkerFor } from '../../src/workloads/health/index.ts'
import type { Target } from '../../src/workloads/target.ts'
import { scopeOf } from '../harness/index.ts'

/** Checks a TCP server as the agent does. */
async function check(port: number, wanted = 'auto'): Promise<void> {
  const address = `127.0.0.1:${port}`
  const checker = checkerFor({ kind: 'tcp', address }, wanted)
  const target: Target = { kind: 'tcp', host: '127.0.0.1', port, server: undefined }
  const dial: CheckIo['dial'] = (to, signal) => dialTarget(to, nobody, signal)
  await checker?.check(
    { target, spiffeId: 'spiffe://d/a' },
    { dial, headerFor, probeFrame },
    AbortSignal.timeout(5_000)
  )
}

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
    const probed = check(port)
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
  await check(port)
})

test('a check that a registration names is used where it fits, and refused where it does not', () => {
  const tcp = { kind: 'tcp', address: '127.0.0.1:80' } as const
  const bound = { kind: 'listen', hello: false, protocol: 'tcp' } as const
  const program = { kind: 'listen', hello: true, protocol: 'tcp', answersProbes: true } as const
  assert.equal(checkerFor(tcp, 'auto')?.name, 'connect')
  assert.equal(checkerFor(tcp, 'off'), undefined)
  assert.equal(checkerFor(program, 'auto')?.name, 'hello')
  assert.equal(checkerFor({ kind: 'udp', address: '127.0.0.1:53' }, 'auto')?.name, 'holder')
  // A program that binds the socket itself is checked only when it asks for that.
  assert.equal(checkerFor(bound, 'auto'), undefined)
  assert.equal(checkerFor(bound, 'connect')?.name, 'connect')
  for (const [target, wanted] of [
    [program, 'connect'],
    [tcp, 'hello'],
    [tcp, 'constructor']
  ] as const) {
    assert.throws(() => checkerFor(target, wanted), { code: 'INVALID_ARGUMENT', message: /not possible/ })
  }
})
