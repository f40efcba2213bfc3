import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { dialTarget, headerFor, probeFrame } from '../../src/proxy/index.ts'
import { grpcHealthPb, healthCheckName, healthCheckOf } from '../../src/wire/index.ts'
import { type CheckIo, checkerFor } from '../../src/workloads/health/index.ts'
import type { Target } from '../../src/workloads/target.ts'
import { scopeOf } from '../harness/index.ts'

/** Checks a TCP server as the agent does. */
async function check(port: number, wanted = 'auto', patienceMs = 5_000): Promise<void> {
  const address = `127.0.0.1:${port}`
  const checker = checkerFor({ kind: 'tcp', address }, wanted)
  const target: Target = { kind: 'tcp', host: '127.0.0.1', port, server: undefined }
  const dial: CheckIo['dial'] = (to, signal) => dialTarget(to, nobody, signal)
  await checker?.check(
    { target, spiffeId: 'spiffe://d/a' },
    { dial, headerFor, probeFrame },
    AbortSignal.timeout(patienceMs)
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

/** A server of HTTP whose answers `answer` makes, at a port of its own. */
async function httpPort(t: TestContext, answer: RequestListener): Promise<number> {
  const server = createHttpServer(answer).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

test('a check by HTTP asks for the path that was named, and takes each status below 400', async t => {
  const asked: (string | undefined)[] = []
  const statuses = new Map([
    ['/', 200],
    ['/moved', 302],
    ['/missing', 404],
    ['/ill?why=disk', 503]
  ])
  const port = await httpPort(t, ({ url = '', headers }, response) => {
    asked.push(`${url} ${headers.host}`)
    response.writeHead(statuses.get(url) ?? 500, { location: '/' }).end('x'.repeat(100_000))
  })
  await check(port, 'http')
  await check(port, 'http:/moved')
  await assert.rejects(check(port, 'http:/missing'), {
    code: 'DESTINATION_UNREACHABLE',
    reason: 'the server answers GET /missing with 404'
  })
  await assert.rejects(check(port, 'http:/ill?why=disk'), { reason: 'the server answers GET /ill?why=disk with 503' })
  assert.deepEqual(
    asked,
    [...statuses.keys()].map(url => `${url} localhost`)
  )
})

test('a check by HTTP fails for a server that speaks something else, says nothing, or ends the connection', async t => {
  const scope = scopeOf(t)
  for (const [greet, why] of [
    [(socket: Socket) => socket.end('220 mail.example ready\r\n'), /gives no answer to GET \/ \(HPE_/],
    [(socket: Socket) => socket.destroy(), /gives no answer to GET \/ \((?:ECONNRESET|EPIPE)\)/],
    [(_: Socket) => {}, /aborted|timed? ?out/i]
  ] as const) {
    const server = createServer(socket => {
      socket.on('error', () => {})
      greet(socket)
      scope.defer(() => socket.destroy())
    }).listen(0, '127.0.0.1')
    scope.defer(() => server.close())
    await once(server, 'listening')
    await assert.rejects(check((server.address() as AddressInfo).port, 'http', 500), why)
  }
})

test('a check by gRPC passes for SERVING, of the server and of the service that was named', async t => {
  const { SERVING, NOT_SERVING } = grpcHealthPb.HealthCheckResponse_ServingStatus
  const known = new Map([
    ['', SERVING],
    ['shop.Cart', SERVING],
    ['shop.Till', NOT_SERVING]
  ])
  const routes = (router: ConnectRouter): void => {
    router.service(grpcHealthPb.Health, {
      check({ service }) {
        const status = known.get(service)
        if (status === undefined) throw new ConnectError(`no such service ${'x'.repeat(10_000)}`, Code.NotFound)
        return { status }
      }
    })
  }
  const server = createHttp2Server(connectNodeAdapter({ routes })).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await check(port, 'grpc')
  await check(port, 'grpc:shop.Cart')
  await assert.rejects(check(port, 'grpc:shop.Till'), { reason: 'the server says NOT_SERVING for shop.Till' })
  await assert.rejects(check(port, 'grpc:shop.Bank'), {
    reason: /^the server does not answer: .*no such service x{1,200}$/
  })
  const web = await httpPort(t, (_, response) => void response.end())
  await assert.rejects(check(web, 'grpc'), { code: 'DESTINATION_UNREACHABLE' })
})

test('a check that asks for a path or a service is refused where it can name none', () => {
  const tcp = { kind: 'tcp', address: '127.0.0.1:80' } as const
  for (const wanted of [
    'http:healthz',
    'http:/a b',
    'http:/a\r\nb: c',
    `http:/${'a'.repeat(256)}`,
    'grpc:a/b',
    'grpc:'
  ]) {
    assert.throws(() => checkerFor(tcp, wanted), { code: 'INVALID_ARGUMENT' }, wanted)
    assert.throws(() => healthCheckOf(wanted), { code: 'INVALID_ARGUMENT' }, wanted)
  }
  for (const wanted of ['connect:/x', 'off:x', 'auto:x']) {
    assert.throws(() => checkerFor(tcp, wanted), { code: 'INVALID_ARGUMENT' }, wanted)
  }
  for (const wanted of ['http', 'http:/a?b=c', 'grpc', 'grpc:a.b.C']) {
    const { healthCheck, healthCheckSubject } = healthCheckOf(wanted)
    assert.equal(healthCheckName(healthCheck, healthCheckSubject), wanted)
  }
})
