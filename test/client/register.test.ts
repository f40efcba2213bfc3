import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { AgentClient, register } from '../../src/client/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { until } from '../api/support.ts'
import { FakeAgent } from './fake-agent.ts'

async function setUp(t: TestContext) {
  const agent = await new FakeAgent(t).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  t.after(() => client.close())
  return { agent, client }
}

test('a registration lives until it is closed, and closing reports how far that spread', async t => {
  const { agent, client } = await setUp(t)
  const registration = await register('dev.web.nginx.default', {
    client,
    target: { tcp: '127.0.0.1:80' },
    labels: { a: 'b' }
  })
  assert.equal(registration.address, 'dev.web.nginx.default.m1')
  assert.equal(registration.state, 'live')
  assert.deepEqual(agent.registrations.get(registration.token)?.request.target?.kind, {
    case: 'tcp',
    value: '127.0.0.1:80'
  })
  await until(() => agent.countOf('keep') === 1)
  assert.equal((await registration.close())?.state, 'replicated')
  assert.equal((await registration.close())?.state, 'replicated')
  assert.deepEqual(await registration.closed, { reason: 'closed' })
  assert.deepEqual(agent.addresses(), [])
  assert.equal(agent.countOf('deregister'), 1)
})

test('leaving its block closes a registration', async t => {
  const { agent, client } = await setUp(t)
  {
    await using registration = await register('dev.web.nginx.default', { client })
    assert.deepEqual(agent.addresses(), [registration.address])
  }
  assert.deepEqual(agent.addresses(), [])
})

test('aborting its signal closes a registration; aborted before, it is never made', async t => {
  const { agent, client } = await setUp(t)
  const stop = new AbortController()
  const registration = await register('dev.web.nginx.default', { client, signal: stop.signal })
  stop.abort()
  assert.equal((await registration.closed).reason, 'closed')
  assert.deepEqual(agent.addresses(), [])
  await assert.rejects(register('dev.web.nginx.default', { client, signal: stop.signal }), { name: 'AbortError' })
  assert.equal(agent.countOf('register'), 1)
})

test('an agent that ends a registration says why, and it is not made again', async t => {
  const { agent, client } = await setUp(t)
  const registration = await register('dev.web.nginx.default', { client })
  await until(() => agent.countOf('keep') === 1)
  agent.end(registration.address, 'its grant was withdrawn')
  const end = await registration.closed
  assert.equal(end.reason, 'its grant was withdrawn')
  assert.equal(end.error?.code, ErrorCode.InvalidSource)
  assert.equal(registration.state, 'closed')
  assert.equal(agent.countOf('register'), 1)
})

test('a refused registration is the error of the agent', async t => {
  const { agent, client } = await setUp(t)
  agent.onRegister = async () => {
    throw new WarrenError(ErrorCode.PermissionDenied, 'not granted', { hint: 'Ask.' })
  }
  await assert.rejects(register('dev.web.nginx.default', { client }), {
    code: ErrorCode.PermissionDenied,
    hint: 'Ask.'
  })
})

test('after a restart of the agent it registers again, through failures that pass', async t => {
  const { agent, client } = await setUp(t)
  const registration = await register('dev.web.nginx.default', { client })
  await until(() => agent.countOf('keep') === 1)
  const stale = registration.token
  await agent.stop()
  await until(() => registration.state === 'lost')
  let failures = 1
  agent.onRegister = async () => {
    failures -= 1
    if (failures >= 0) throw new WarrenError(ErrorCode.NotReady, 'starting')
  }
  await agent.start()
  await registration.renewed(stale, t.signal)
  assert.equal(registration.state, 'live')
  assert.deepEqual([...agent.registrations.keys()], [registration.token])
  await registration.close()
  assert.deepEqual(agent.addresses(), [])
})

test('after a restart that no longer grants it, it ends with that error', async t => {
  const { agent, client } = await setUp(t)
  const registration = await register('dev.web.nginx.default', { client })
  await agent.stop()
  agent.onRegister = async () => {
    throw new WarrenError(ErrorCode.PermissionDenied, 'no longer granted')
  }
  await agent.start()
  const end = await registration.closed
  assert.equal(end.error?.code, ErrorCode.PermissionDenied)
  await assert.rejects(registration.renewed('x', t.signal), { code: ErrorCode.PermissionDenied })
})

test('closing while the agent is away ends at once', async t => {
  const { agent, client } = await setUp(t)
  const registration = await register('dev.web.nginx.default', { client })
  await agent.stop()
  await until(() => registration.state === 'lost')
  await registration.close()
  assert.equal(registration.state, 'closed')
})
