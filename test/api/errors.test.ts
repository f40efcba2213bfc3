import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { serveWorkloadApi } from '../../src/api/index.ts'
import { AgentClient } from '../../src/client/index.ts'
import { ErrorCode, type LogFields, packageVersion, silentLogger, WarrenError } from '../../src/core/index.ts'
import { fakeCredentials, post, tempDir, workloadHandlers } from './support.ts'

async function failing(t: TestContext, fail: () => unknown, logged: LogFields[] = []) {
  const runtimeDir = await tempDir(t)
  const log = { ...silentLogger, error: (_message: string, fields: LogFields = {}) => void logged.push(fields) }
  const server = await serveWorkloadApi({
    runtimeDir,
    handlers: workloadHandlers({
      connect: async () => {
        throw fail()
      },
      // biome-ignore lint/correctness/useYield: it fails before its first event
      watchServices: async function* () {
        throw fail()
      }
    }),
    credentials: fakeCredentials().read,
    log
  })
  t.after(() => server.close())
  const client = new AgentClient({ runtimeDir })
  t.after(() => client.close())
  return { path: server.path, client }
}

async function drain(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

test('every code reaches a client with its reason and hint, from calls and from streams', async t => {
  let error = new WarrenError(ErrorCode.Internal, '')
  const { client } = await failing(t, () => error)
  for (const code of Object.values(ErrorCode)) {
    error = new WarrenError(code, `why ${code}: 100 %, "ünïcode"\nand more`, { hint: 'Do this — or that.' })
    const expected = { name: 'WarrenError', code, reason: error.reason, hint: error.hint }
    await assert.rejects(client.workload.connect({}), expected)
    await assert.rejects(drain(client.workload.watchServices({})), expected)
  }
})

test('a JSON caller reads code, reason and hint in the body and in headers', async t => {
  const error = new WarrenError(ErrorCode.Unauthorized, 'no rule allows it', { hint: 'Ask for "warren allow".' })
  const { path } = await failing(t, () => error)
  const { status, headers, body } = await post(path, 'WorkloadService/Connect')
  assert.equal(status, 403)
  assert.equal(body.message, 'UNAUTHORIZED: no rule allows it')
  assert.deepEqual(body.details[0].debug, {
    code: 'UNAUTHORIZED',
    reason: 'no rule allows it',
    hint: 'Ask for "warren allow".'
  })
  assert.equal(headers['warren-error'], 'UNAUTHORIZED')
  assert.equal(headers['warren-reason'], 'no rule allows it')
  assert.equal(headers['warren-hint'], 'Ask for "warren allow".')
})

test('an unexpected error becomes INTERNAL, is logged, and tells the caller neither text nor path', async t => {
  const logged: LogFields[] = []
  const cause = new Error('ENOENT: /var/lib/warren/keys/node.pem')
  const { path, client } = await failing(t, () => cause, logged)
  await assert.rejects(client.workload.connect({}), { code: ErrorCode.Internal, reason: 'the agent could not answer' })
  const answer = await post(path, 'WorkloadService/Connect')
  assert.doesNotMatch(JSON.stringify([answer.headers, answer.body]), /var|node\.pem|ENOENT|\.ts/)
  assert.deepEqual(
    logged.map(({ method, err }) => [method, err]),
    [
      ['Connect', cause],
      ['Connect', cause]
    ]
  )
})

test('a reason of any length and content fits in the headers', async t => {
  const error = new WarrenError(ErrorCode.NotFound, `${'\ud83d\udca9\r\n'.repeat(5_000)}\ud800`)
  const { client, path } = await failing(t, () => error)
  await assert.rejects(client.workload.connect({}), { code: ErrorCode.NotFound })
  assert.equal((await post(path, 'WorkloadService/Connect')).headers['warren-error'], ErrorCode.NotFound)
})

test('a person with curl who forgets the content type, or misspells the call, is told', async t => {
  const { path } = await failing(t, () => undefined)
  const form = await post(path, 'WorkloadService/Connect', '{}', {
    'content-type': 'application/x-www-form-urlencoded'
  })
  assert.equal(form.status, 415)
  assert.match(form.body.details[0].debug.hint, /content-type: application\/json/)
  const unknown = await post(path, 'WorkloadService/Conect')
  assert.equal(unknown.status, 404)
  assert.equal(unknown.headers['warren-version'], packageVersion())
  assert.match(
    unknown.body.message,
    /^UNSUPPORTED: this agent is warren .* has no call warren.api.v1.WorkloadService\/Conect$/
  )
  const malformed = await post(path, 'WorkloadService/Connect', '{"token":')
  assert.equal(malformed.body.code, 'invalid_argument')
})
