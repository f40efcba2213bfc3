import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { create, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type CallOptions, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { type LocalLimits, type SpiffeSocketHandlers, serveSpiffeApi } from '../../src/api/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import {
  envoyDiscoveryPb,
  envoySdsPb,
  grpcHealthPb,
  grpcReflectionAlphaPb,
  grpcReflectionPb,
  spiffePb
} from '../../src/wire/index.ts'
import { spiffeSocket } from './spiffe-socket.ts'
import { fakeCredentials, tempDir } from './support.ts'

/** A spiffe.sock whose every call is counted and answers something, and a connection to it. */
async function serve(t: TestContext, rest: Partial<SpiffeSocketHandlers> = {}, limits: Partial<LocalLimits> = {}) {
  const state = { calls: 0 }
  async function* states() {
    state.calls += 1
    yield {}
  }
  const answer = async () => {
    state.calls += 1
    return {}
  }
  const workloadApi = {
    fetchX509SVID: states,
    fetchX509Bundles: states,
    fetchJWTSVID: answer,
    fetchJWTBundles: states,
    validateJWTSVID: answer,
    fetchWITSVID: states,
    fetchWITBundles: states
  }
  const secrets = { streamSecrets: states, fetchSecrets: answer }
  const runtimeDir = await tempDir(t)
  const credentials = fakeCredentials().read
  const handlers = spiffeSocket(workloadApi, { secrets, ...rest })
  const server = await serveSpiffeApi({ runtimeDir, handlers, credentials, log: silentLogger, limits })
  const sessionManager = new Http2SessionManager(
    'http://localhost',
    {},
    { createConnection: () => connect(server.path) }
  )
  t.after(async () => {
    sessionManager.abort()
    await server.close()
  })
  const baseUrl = 'http://localhost'
  const transport = createGrpcTransport({ baseUrl, sessionManager })
  const notGrpc = createConnectTransport({ baseUrl, sessionManager, httpVersion: '2' })
  const client = createClient(spiffePb.SpiffeWorkloadAPI, transport)
  const all = async (options: CallOptions): Promise<unknown[]> => {
    const drained = async (stream: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of stream);
    }
    const calls = [
      drained(client.fetchX509SVID({}, options)),
      drained(client.fetchX509Bundles({}, options)),
      client.fetchJWTSVID({ audience: ['x'] }, options),
      drained(client.fetchJWTBundles({}, options)),
      client.validateJWTSVID({}, options),
      drained(client.fetchWITSVID({}, options)),
      drained(client.fetchWITBundles({}, options))
    ]
    const results = await Promise.allSettled(calls)
    return results.map(result => (result.status === 'rejected' ? ConnectError.from(result.reason).code : 'answered'))
  }
  return { state, all, transport, notGrpc, path: server.path }
}

async function* of<T>(...items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

test('no call of spiffe.sock reaches its handler without the header that the specification demands', async t => {
  const { state, all } = await serve(t)
  for (const headers of [{}, { 'workload.spiffe.io': 'false' }, { 'workload.spiffe.io': 'TRUE' }]) {
    assert.deepEqual(await all({ headers }), Array(7).fill(Code.InvalidArgument))
  }
  assert.equal(state.calls, 0)
  assert.deepEqual(await all({ headers: { 'workload.spiffe.io': 'true' } }), Array(7).fill('answered'))
  assert.equal(state.calls, 7)
})

test('secrets for Envoy need that header, unless the client speaks gRPC', async t => {
  const { state, transport, notGrpc } = await serve(t)
  const other = createClient(envoySdsPb.SecretDiscoveryService, notGrpc)
  const denied = (err: unknown) => ConnectError.from(err).code === Code.InvalidArgument
  await assert.rejects(other.fetchSecrets({}), denied)
  assert.equal(state.calls, 0)
  await other.fetchSecrets({}, { headers: { 'workload.spiffe.io': 'true' } })
  const envoy = createClient(envoySdsPb.SecretDiscoveryService, transport)
  await envoy.fetchSecrets({})
  for await (const _ of envoy.streamSecrets(of(create(envoyDiscoveryPb.DiscoveryRequestSchema))));
  assert.equal(state.calls, 3)
})

test('a conversation may be silent for longer than the body of a request may take', async t => {
  async function* streamSecrets(requests: AsyncIterable<envoyDiscoveryPb.DiscoveryRequest>) {
    for await (const { responseNonce: nonce } of requests) yield { nonce }
  }
  const secrets = { streamSecrets, fetchSecrets: async () => ({}) }
  const { transport } = await serve(t, { secrets }, { bodyMs: 1_000 })
  const later = Promise.withResolvers<void>()
  async function* requests() {
    yield { responseNonce: 'first' }
    await later.promise
    yield { responseNonce: 'second' }
  }
  const heard: string[] = []
  for await (const { nonce } of createClient(envoySdsPb.SecretDiscoveryService, transport).streamSecrets(requests())) {
    heard.push(nonce)
    // Longer than the server of this test gives a body.
    setTimeout(later.resolve, 1_500)
  }
  assert.deepEqual(heard, ['first', 'second'])
})

test('spiffe.sock answers the health check of gRPC, and says when it changes', async t => {
  let isServing = true
  let change = Promise.withResolvers<void>()
  const { transport } = await serve(t, { isServing: () => isServing, changed: () => change.promise })
  const health = createClient(grpcHealthPb.Health, transport)
  const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpcHealthPb.HealthCheckResponse_ServingStatus
  for (const service of ['', 'SpiffeWorkloadAPI', 'envoy.service.secret.v3.SecretDiscoveryService']) {
    assert.equal((await health.check({ service })).status, SERVING)
  }
  await assert.rejects(health.check({ service: 'x' }), err => ConnectError.from(err).code === Code.NotFound)
  const states = health.watch({})[Symbol.asyncIterator]()
  assert.equal((await states.next()).value?.status, SERVING)
  isServing = false
  change.resolve()
  change = Promise.withResolvers()
  assert.equal((await states.next()).value?.status, NOT_SERVING)
  await states.return?.()
  for await (const { status } of health.watch({ service: 'x' })) {
    assert.equal(status, SERVICE_UNKNOWN)
    break
  }
})

test('spiffe.sock describes its services to tools, under both names of the reflection service', async t => {
  const { transport } = await serve(t)
  for (const service of [grpcReflectionPb.ServerReflection, grpcReflectionAlphaPb.ServerReflection]) {
    const tool = createClient(service, transport)
    const questions = of(
      { messageRequest: { case: 'listServices' as const, value: '*' } },
      { messageRequest: { case: 'fileContainingSymbol' as const, value: 'SpiffeWorkloadAPI.FetchWITSVID' } },
      { messageRequest: { case: 'fileContainingSymbol' as const, value: 'no.such.Symbol' } }
    )
    const answers: grpcReflectionPb.ServerReflectionResponse['messageResponse'][] = []
    for await (const { messageResponse } of tool.serverReflectionInfo(questions)) answers.push(messageResponse)
    const [list, file, none] = answers
    assert.ok(list?.case === 'listServicesResponse' && file?.case === 'fileDescriptorResponse')
    assert.deepEqual(
      list.value.service.map(({ name }) => name),
      [
        'SpiffeWorkloadAPI',
        'envoy.service.secret.v3.SecretDiscoveryService',
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection'
      ]
    )
    const files = file.value.fileDescriptorProto.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes).name)
    assert.deepEqual(files, ['spiffe/workload.proto', 'google/protobuf/struct.proto'])
    assert.ok(none?.case === 'errorResponse' && none.value.errorCode === Code.NotFound)
  }
})

test('a call that spiffe.sock does not have is UNIMPLEMENTED in the trailers of gRPC', async t => {
  const { path } = await serve(t)
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) })
  t.after(() => session.close())
  for (const call of [
    '/SpiffeWorkloadAPI/FetchNothing',
    '/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets'
  ]) {
    const request = session.request({
      ':method': 'POST',
      ':path': call,
      'content-type': 'application/grpc',
      te: 'trailers'
    })
    request.end()
    request.resume()
    const [[headers], [trailers]] = await Promise.all([once(request, 'response'), once(request, 'trailers')])
    assert.equal(headers[':status'], 200)
    assert.equal(headers['content-type'], 'application/grpc')
    assert.equal(trailers['grpc-status'], String(Code.Unimplemented))
    assert.match(decodeURIComponent(String(trailers['grpc-message'])), /no such call/)
  }
})
