import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type CallOptions, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { type SpiffeHandlers, serveSpiffeApi } from '../../src/api/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { spiffePb } from '../../src/wire/index.ts'
import { fakeCredentials, tempDir } from './support.ts'

/** A gRPC client of a spiffe.sock whose every call is counted and answers something. */
async function serve(t: TestContext) {
  const state = { calls: 0 }
  async function* states() {
    state.calls += 1
    yield {}
  }
  const answer = async () => {
    state.calls += 1
    return {}
  }
  const handlers: SpiffeHandlers = {
    fetchX509SVID: states,
    fetchX509Bundles: states,
    fetchJWTSVID: answer,
    fetchJWTBundles: states,
    validateJWTSVID: answer
  }
  const runtimeDir = await tempDir(t)
  const credentials = fakeCredentials().read
  const server = await serveSpiffeApi({ runtimeDir, handlers, credentials, log: silentLogger })
  const sessionManager = new Http2SessionManager(
    'http://localhost',
    {},
    { createConnection: () => connect(server.path) }
  )
  t.after(async () => {
    sessionManager.abort()
    await server.close()
  })
  const client = createClient(
    spiffePb.SpiffeWorkloadAPI,
    createGrpcTransport({ baseUrl: 'http://localhost', sessionManager })
  )
  const all = async (options: CallOptions): Promise<unknown[]> => {
    const drained = async (stream: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of stream);
    }
    const calls = [
      drained(client.fetchX509SVID({}, options)),
      drained(client.fetchX509Bundles({}, options)),
      client.fetchJWTSVID({ audience: ['x'] }, options),
      drained(client.fetchJWTBundles({}, options)),
      client.validateJWTSVID({}, options)
    ]
    const results = await Promise.allSettled(calls)
    return results.map(result => (result.status === 'rejected' ? ConnectError.from(result.reason).code : 'answered'))
  }
  return { state, all }
}

test('no call of spiffe.sock reaches its handler without the header that the specification demands', async t => {
  const { state, all } = await serve(t)
  for (const headers of [{}, { 'workload.spiffe.io': 'false' }, { 'workload.spiffe.io': 'TRUE' }]) {
    assert.deepEqual(await all({ headers }), Array(5).fill(Code.InvalidArgument))
  }
  assert.equal(state.calls, 0)
  assert.deepEqual(await all({ headers: { 'workload.spiffe.io': 'true' } }), Array(5).fill('answered'))
  assert.equal(state.calls, 5)
})
