import assert from 'node:assert/strict'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { connect as connectSession } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import {
  type Caller,
  type LocalLimits,
  type LocalServer,
  serveAdminApi,
  serveWorkloadApi,
  type WorkloadHandlers
} from '../../src/api/index.ts'
import { HOST_VIEW, unknownView } from '../../src/attest/index.ts'
import { ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { adminHandlers, fakeCredentials, post, raw, tempDir, until, workloadHandlers } from './support.ts'

const GET_STATUS = 'WorkloadService/GetStatus'

interface Served {
  readonly path: string
  readonly server: LocalServer
  /** The limits that were reached, each time. */
  readonly hits: readonly string[]
  readonly openHandles: () => number
}

async function serve(
  t: TestContext,
  handlers: Partial<WorkloadHandlers>,
  limits: Partial<LocalLimits> = {},
  uid = 1000
): Promise<Served> {
  const { metrics, hits } = recordingMetrics()
  const credentials = fakeCredentials(uid)
  const server = await serveWorkloadApi({
    runtimeDir: await tempDir(t),
    handlers: workloadHandlers({ getStatus: async () => ({ version: 'x' }), ...handlers }),
    credentials: credentials.read,
    log: silentLogger,
    metrics,
    limits
  })
  t.after(() => server.close())
  return { path: server.path, hits, server, openHandles: credentials.open }
}

function session(t: TestContext, path: string): Http2SessionManager {
  const manager = new Http2SessionManager('http://agent', {}, { createConnection: () => connect({ path }) })
  t.after(() => manager.abort())
  return manager
}

function http2Client(t: TestContext, path: string) {
  const sessionManager = session(t, path)
  const transport = createConnectTransport({ httpVersion: '2', baseUrl: 'http://agent', sessionManager })
  return { client: createClient(apiPb.WorkloadService, transport), sessionManager }
}

test('a call is answered whatever its authority is: that of the C core of gRPC is no host of a URL', async t => {
  const { path } = await serve(t, {})
  const client = connectSession('http://agent', { createConnection: () => connect({ path }) })
  t.after(() => client.destroy())
  const stream = client.request({
    ':method': 'POST',
    ':path': '/warren.api.v1.WorkloadService/GetStatus',
    ':authority': 'run%2Fwarren%2Fagent.sock',
    'content-type': 'application/json'
  })
  stream.end('{}')
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  assert.equal(headers[':status'], 200)
})

test('curl users get JSON answers over HTTP/1.1, and the caller is who the kernel says', async t => {
  let seen: Caller | undefined
  const { path, openHandles } = await serve(t, {
    getStatus: async (_request, caller) => {
      seen = caller
      return { version: '1.2.3', members: 3 }
    }
  })
  const { status, body } = await post(path, GET_STATUS)
  assert.equal(status, 200)
  assert.deepEqual(body, { version: '1.2.3', members: 3 })
  assert.ok(seen !== undefined)
  assert.deepEqual([seen.uid, seen.gid, seen.pid, seen.process.pid], [1000, 1001, 4711, 4711])
  if (!seen.connection.aborted) await once(seen.connection, 'abort')
  assert.equal(openHandles(), 0)
})

test('Connect and gRPC clients are served over HTTP/2 on the same socket', async t => {
  const { path, server } = await serve(t, {
    listServices: async ({ pattern }) => ({ services: [{ address: pattern }] })
  })
  const { client } = http2Client(t, path)
  const grpc = createClient(
    apiPb.WorkloadService,
    createGrpcTransport({ baseUrl: 'http://agent', sessionManager: session(t, path) })
  )
  for (const each of [client, grpc]) {
    const answers = await Promise.all([each.listServices({ pattern: 'a' }), each.listServices({ pattern: 'b' })])
    assert.deepEqual(
      answers.map(({ services }) => services[0]?.address),
      ['a', 'b']
    )
  }
  assert.equal(server.connections(), 2)
})

test('a caller whose credentials cannot be read gets nothing', async t => {
  const server = await serveWorkloadApi({
    runtimeDir: await tempDir(t),
    handlers: workloadHandlers(),
    credentials: () => {
      throw new WarrenError(ErrorCode.PermissionDenied, 'unreadable')
    },
    log: silentLogger
  })
  t.after(() => server.close())
  assert.equal(await raw(server.path, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'), '')
})

test('hostile first bytes neither crash the server nor reach a handler', async t => {
  const { path } = await serve(t, {})
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const line = `POST /warren.api.v1.${GET_STATUS} HTTP/1`
  const inputs = [
    '\0\0\0\0garbage\r\n\r\n',
    'PRI * HTTP/9.9\r\n\r\n',
    `${preface}${'\xff'.repeat(200)}`,
    `${preface}GET / HTTP/1.1\r\n\r\n`,
    `${line}.0\r\n\r\n`,
    'POST // HTTP/1.0\r\n\r\n',
    'POST http://[ HTTP/1.0\r\nHost: a\r\n\r\n',
    `${line}.1\r\nHost: a b[\r\nConnection: close\r\n\r\n`,
    `${line}.1\r\nHost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`,
    'CONNECT x HTTP/1.1\r\nHost: a\r\n\r\n',
    `${line}.1\r\nHost: a\r\nConnection: close\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`
  ]
  for (const input of inputs)
    assert.doesNotMatch(await raw(path, Buffer.from(input, 'latin1')), /200 OK/, input.slice(0, 60))
  assert.equal((await post(path, GET_STATUS)).status, 200)
})

test('a message beyond the limit is refused, with or without a truthful length', async t => {
  const { path } = await serve(t, {}, { maxBodyBytes: 1_000 })
  const body = JSON.stringify({ filler: 'x'.repeat(2_000) })
  const whole = await post(path, GET_STATUS, body)
  assert.equal(whole.body.code, 'resource_exhausted')
  const chunked = await post(path, GET_STATUS, body, { 'transfer-encoding': 'chunked' })
  assert.equal(chunked.body.code, 'resource_exhausted')
  assert.equal((await post(path, GET_STATUS)).status, 200)
})

test('a compressed body is refused rather than inflated', async t => {
  const { path } = await serve(t, {})
  assert.equal((await post(path, GET_STATUS, 'x', { 'content-encoding': 'gzip' })).body.code, 'unimplemented')
})

test('a client that sends nothing, half a preface, half a header or half a body is cut off', async t => {
  const { path, openHandles } = await serve(t, {}, { firstRequestMs: 60, bodyMs: 60 })
  const head = `POST /warren.api.v1.${GET_STATUS} HTTP/1.1\r\nHost: a\r\n`
  const half = `${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`
  const answers = await Promise.all(['', 'PRI * HT', 'P', head, half].map(bytes => raw(path, bytes)))
  for (const answer of answers) assert.doesNotMatch(answer, /200 OK/)
  await until(() => openHandles() === 0)
})

test('a request that arrives byte by byte is answered', async t => {
  const { path } = await serve(t, {})
  const socket = connect({ path })
  const request = `POST /warren.api.v1.${GET_STATUS} HTTP/1.1\r\nHost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`
  for (const byte of request) await new Promise<void>(resolve => socket.write(byte, () => resolve()))
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  assert.match(text, /200 OK[\s\S]*"version":"x"/)
})

test('an idle connection is closed, and a client opens the next one unnoticed', async t => {
  const { path, server } = await serve(t, {}, { idleMs: 20 })
  const { client, sessionManager } = http2Client(t, path)
  await client.getStatus({})
  await until(() => server.connections() === 0)
  assert.notEqual(sessionManager.state(), 'open')
  assert.equal((await client.getStatus({})).version, 'x')
})

test('a user with too many connections is told so, and other users are not affected', async t => {
  const uids = [7, 7, 7, 8]
  const { metrics, hits } = recordingMetrics()
  const server = await serveWorkloadApi({
    runtimeDir: await tempDir(t),
    handlers: workloadHandlers({ getStatus: async () => ({ version: 'x' }) }),
    credentials: socket => fakeCredentials(uids.shift()).read(socket),
    log: silentLogger,
    metrics,
    limits: { maxConnectionsPerUid: 2 }
  })
  t.after(() => server.close())
  const first = connect({ path: server.path })
  const second = connect({ path: server.path })
  await Promise.all([once(first, 'connect'), once(second, 'connect')])
  const refused = await post(server.path, GET_STATUS)
  assert.equal(refused.headers['warren-error'], ErrorCode.LimitExceeded)
  assert.deepEqual(hits, ['api_connections_per_uid'])
  assert.equal((await post(server.path, GET_STATUS)).status, 200)
  first.destroy()
  second.destroy()
})

test('root of containers, whatever users it becomes, leaves places to those of the host', async t => {
  const inside = { ...unknownView('is in a container'), key: '2 1:2' }
  const users = [0, 7, 8, 0].map((uid, at) => fakeCredentials(uid, at === 3 ? HOST_VIEW : inside))
  const server = await serveWorkloadApi({
    runtimeDir: await tempDir(t),
    handlers: workloadHandlers({ getStatus: async () => ({ version: 'x' }) }),
    credentials: socket => (users.shift() ?? fakeCredentials()).read(socket),
    log: silentLogger,
    limits: { maxConnections: 4, maxConnectionsPerUid: 1 }
  })
  t.after(() => server.close())
  const kept = [connect({ path: server.path }), connect({ path: server.path })]
  await Promise.all(kept.map(socket => once(socket, 'connect')))
  const refused = await post(server.path, GET_STATUS)
  assert.equal(refused.headers['warren-error'], ErrorCode.LimitExceeded)
  // The same uid as the first, and not the same user.
  assert.equal((await post(server.path, GET_STATUS)).status, 200)
  for (const socket of kept) socket.destroy()
})

test('a user with too many calls under way is told so', async t => {
  const entered = Promise.withResolvers<void>()
  const { path, hits } = await serve(
    t,
    {
      keep: async function* (_request, _caller, signal) {
        yield { event: { case: 'alive', value: {} } }
        entered.resolve()
        await once(signal, 'abort')
      }
    },
    { maxCallsPerUid: 1 }
  )
  const { client } = http2Client(t, path)
  const stop = new AbortController()
  const kept = (async () => {
    for await (const _ of client.keep({ token: 't' }, { signal: stop.signal }));
  })()
  await entered.promise
  await assert.rejects(client.getStatus({}), /LIMIT_EXCEEDED/)
  assert.deepEqual(hits, ['api_calls_per_uid'])
  stop.abort()
  await assert.rejects(kept)
})

test('a call beyond a limit is refused before its body is read, in each protocol', async t => {
  const { path, hits } = await serve(t, {}, { maxWatchesPerUid: 0 })
  const WATCH = '/warren.api.v1.WorkloadService/WatchServices'
  const head = (type: string) => `POST ${WATCH} HTTP/1.1\r\nHost: a\r\ncontent-type: ${type}\r\n`
  // The body never comes.
  for (const type of ['application/connect+json', 'application/grpc-web']) {
    const socket = connect({ path })
    socket.write(`${head(type)}connection: close\r\ncontent-length: 100\r\n\r\n`)
    const [answer] = await once(socket, 'data')
    assert.match(String(answer), /^HTTP\/1.1 200/, type)
    assert.match(String(answer), /LIMIT_EXCEEDED/, type)
    socket.destroy()
  }
  const client = connectSession('http://agent', { createConnection: () => connect({ path }) })
  t.after(() => client.destroy())
  const stream = client.request({ ':method': 'POST', ':path': WATCH, 'content-type': 'application/grpc' })
  stream.resume()
  const [trailers] = (await once(stream, 'trailers')) as [Record<string, unknown>]
  assert.deepEqual([trailers['grpc-status'], trailers['warren-error']], ['8', ErrorCode.LimitExceeded])
  assert.deepEqual(hits, Array(3).fill('api_watches_per_uid'))
})

test('a state that many watchers get is encoded once, and all of them read it, as JSON too', async t => {
  let encoded = 0
  const service = Object.defineProperty({ machine: 'a' }, 'address', {
    enumerable: true,
    get: () => {
      encoded += 1
      return 'dev.web.site.default.a'
    }
  }) as { address: string; machine: string }
  const state = { services: [service] }
  const { path } = await serve(t, {
    watchServices: async function* () {
      yield state
    }
  })
  const sessionManager = session(t, path)
  const binary = createConnectTransport({ httpVersion: '2', baseUrl: 'http://agent', sessionManager })
  const json = createConnectTransport({
    httpVersion: '2',
    baseUrl: 'http://agent',
    sessionManager,
    useBinaryFormat: false
  })
  for (const transport of [binary, binary, binary, json]) {
    for await (const { services } of createClient(apiPb.WorkloadService, transport).watchServices({})) {
      assert.deepEqual(
        services.map(({ address, machine }) => [address, machine]),
        [['dev.web.site.default.a', 'a']]
      )
    }
    if (transport === binary) assert.equal(encoded, 1)
  }
})

test('a Keep stream ends at the agent when the connection of its caller closes', async t => {
  const entered = Promise.withResolvers<Caller>()
  const ended = Promise.withResolvers<void>()
  const { path, openHandles } = await serve(t, {
    keep: async function* (_request, caller, signal) {
      yield { event: { case: 'alive', value: {} } }
      entered.resolve(caller)
      try {
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      } finally {
        ended.resolve()
      }
    }
  })
  const { client, sessionManager } = http2Client(t, path)
  const kept = (async () => {
    for await (const _ of client.keep({ token: 't' }));
  })()
  const caller = await entered.promise
  const releaseIdle = caller.holdProcess()
  sessionManager.abort()
  await assert.rejects(kept)
  await ended.promise
  if (!caller.connection.aborted) await once(caller.connection, 'abort')
  assert.equal(openHandles(), 1)
  releaseIdle()
  releaseIdle()
  assert.equal(openHandles(), 0)
})

test('a handler that does not answer is cut by the deadline, and its signal aborts', async t => {
  const aborted = Promise.withResolvers<void>()
  const { path } = await serve(
    t,
    {
      heartbeat: (_request, _caller, signal) => {
        signal.addEventListener('abort', () => aborted.resolve())
        return new Promise(() => {})
      }
    },
    { requestMs: 20 }
  )
  const { body } = await post(path, 'WorkloadService/Heartbeat')
  assert.match(body.message, /^TIMEOUT: /)
  await aborted.promise
})

test('closing tells the calls under way that the agent stops, and removes the socket', async t => {
  const entered = Promise.withResolvers<void>()
  const { path, server } = await serve(t, {
    heartbeat: () => {
      entered.resolve()
      return new Promise(() => {})
    }
  })
  const { client } = http2Client(t, path)
  const failed = assert.rejects(client.heartbeat({}), /NOT_READY: the agent is stopping/)
  await entered.promise
  await server.close()
  await failed
  await server.close()
  assert.throws(() => statSync(path), { code: 'ENOENT' })
})

test('a client that resets many streams leaves the server working', async t => {
  const { path } = await serve(t, {})
  const client = connectSession('http://agent', { createConnection: () => connect({ path }) })
  client.on('error', () => {})
  for (let i = 0; i < 300 && !client.destroyed; i += 1) {
    const stream = client.request({ ':method': 'POST', ':path': `/warren.api.v1.${GET_STATUS}` })
    stream.on('error', () => {})
    stream.close()
  }
  await new Promise(setImmediate)
  client.destroy()
  assert.equal((await post(path, GET_STATUS)).status, 200)
})

test('admin.sock is closed to others by mode, and by the kernel-given uid behind it', async t => {
  const runtimeDir = await tempDir(t)
  const uids = [1000, 0, 1001]
  const server = await serveAdminApi({
    runtimeDir,
    handlers: adminHandlers({ getPolicy: async () => ({ version: 9n }) }),
    credentials: socket => fakeCredentials(uids.shift()).read(socket),
    log: silentLogger,
    agentUid: 1001
  })
  t.after(() => server.close())
  assert.equal(server.path, join(runtimeDir, 'admin.sock'))
  assert.equal(statSync(server.path).mode & 0o777, 0o600)
  const refused = await post(server.path, 'AdminService/GetPolicy')
  assert.equal(refused.status, 403)
  assert.equal(refused.headers['warren-error'], ErrorCode.PermissionDenied)
  assert.match(refused.body.message, /uid 1000 may not/)
  assert.equal((await post(server.path, 'AdminService/GetPolicy')).body.version, '9')
  assert.equal((await post(server.path, 'AdminService/GetPolicy')).status, 200)
})

test('admin.sock is closed to the uids of root and of the agent where they are not those of the host', async t => {
  const uids = [0, 1001]
  const view = unknownView('is somewhere else')
  const server = await serveAdminApi({
    runtimeDir: await tempDir(t),
    handlers: adminHandlers({ getPolicy: async () => ({ version: 9n }) }),
    credentials: socket => fakeCredentials(uids.shift(), view).read(socket),
    log: silentLogger,
    agentUid: 1001
  })
  t.after(() => server.close())
  for (const uid of [0, 1001]) {
    const refused = await post(server.path, 'AdminService/GetPolicy')
    assert.equal(refused.headers['warren-error'], ErrorCode.PermissionDenied)
    assert.match(refused.body.message, new RegExp(`uid ${uid} of a process that is somewhere else may not`))
  }
})

test('a connection that ends without a byte gives its place back at once', async t => {
  const { path, server } = await serve(t, {}, { firstRequestMs: 600_000, maxConnectionsPerUid: 1 })
  for (let count = 0; count < 3; count += 1) {
    const socket = connect({ path, allowHalfOpen: true })
    await until(() => server.connections() === 1)
    socket.end()
    await once(socket.resume(), 'close')
    await until(() => server.connections() === 0)
  }
  assert.equal((await post(path, GET_STATUS)).status, 200)
})
