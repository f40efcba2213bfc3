import assert from 'node:assert/strict'
import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { serveAdminApi } from '../../src/api/index.ts'
import { AgentClient, agentDir, connect, defaultSource, runtimeDir, sharedClient } from '../../src/client/index.ts'
import { ErrorCode, silentLogger } from '../../src/core/index.ts'
import { adminHandlers, fakeCredentials, tempDir } from '../api/support.ts'
import { Program, scopeOf } from '../harness/index.ts'
import { FakeAgent } from './fake-agent.ts'

test('without an agent a call says so, and how to start one', async t => {
  await using client = new AgentClient({ runtimeDir: await tempDir(t) })
  const expected = { code: ErrorCode.AgentNotRunning, hint: /warren up/ }
  await assert.rejects(client.workload.getStatus({}), expected)
  await assert.rejects(client.admin.getPolicy({}), expected)
  await assert.rejects(connect('dev.a.b.c', { client }), expected)
})

test('a socket that a dead agent left is no agent either', async t => {
  const dir = await tempDir(t)
  const agent = new FakeAgent(t)
  await using client = new AgentClient({ runtimeDir: agent.runtimeDir })
  await agent.start()
  await assert.rejects(client.workload.heartbeat({}), { code: ErrorCode.Unsupported })
  await agent.stop()
  await assert.rejects(client.workload.heartbeat({}), { code: ErrorCode.AgentNotRunning })
  await agent.start()
  await assert.rejects(client.workload.heartbeat({}), { code: ErrorCode.Unsupported })
  assert.ok(dir)
})

test('a socket of another user is a permission that is missing', {
  skip: process.getuid?.() === 0 && 'root may use any socket'
}, async t => {
  const dir = await tempDir(t)
  const server = createServer().listen(join(dir, 'admin.sock'))
  t.after(() => server.close())
  chmodSync(join(dir, 'admin.sock'), 0)
  await using client = new AgentClient({ runtimeDir: dir })
  await assert.rejects(client.admin.getPolicy({}), { code: ErrorCode.PermissionDenied, hint: /root/ })
})

test('an agent that dies in the middle of a call is an agent that does not run', async t => {
  const dir = await tempDir(t)
  const server = createServer(socket => socket.once('data', () => socket.destroy())).listen(join(dir, 'agent.sock'))
  t.after(() => server.close())
  await using client = new AgentClient({ runtimeDir: dir })
  await assert.rejects(client.workload.getStatus({}), { code: ErrorCode.AgentNotRunning })
})

test('an agent that hangs is a time-out', async t => {
  const dir = await tempDir(t)
  const server = createServer(() => {}).listen(join(dir, 'agent.sock'))
  t.after(() => server.close())
  const client = new AgentClient({ runtimeDir: dir, timeoutMs: 20 })
  await assert.rejects(client.workload.getStatus({}), { code: ErrorCode.Timeout })
  const stop = AbortSignal.abort(new Error('changed my mind'))
  await assert.rejects(client.workload.getStatus({}, { signal: stop }), /changed my mind/)
  await client.close()
})

test('a program that leaves a stream which the agent has ended, unread, ends', async t => {
  const agent = await new FakeAgent(t).start()
  const program = `
    import { AgentClient } from ${JSON.stringify(join(import.meta.dirname, '..', '..', 'src', 'client', 'index.ts'))}
    const { workload } = new AgentClient()
    const { token } = await workload.register({ address: 'dev.a.b.c' })
    for await (const { event } of workload.keep({ token })) {
      console.log(event.case)
      for await (const _ of process.stdin);
      // Over the same connection: what the agent sent before is here by then.
      await workload.deregister({ token }).catch(() => {})
      await workload.heartbeat({ token }).catch(() => {})
      break
    }
    console.log('left')`
  const argv = [process.execPath, '--input-type=module', '-e', program]
  const child = new Program(scopeOf(t), argv, { env: { WARREN_RUNTIME_DIR: agent.runtimeDir } })
  await child.says(/^alive$/m)
  agent.end('dev.a.b.c.m1', 'revoked')
  child.stdin.end()
  await child.says(/^left$/m)
  const { code, stderr } = await child.outcome(20_000)
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
})

test('a refusal by uid on admin.sock reaches the client with its hint', async t => {
  const dir = await tempDir(t)
  const { read } = fakeCredentials(1000)
  const options = { runtimeDir: dir, handlers: adminHandlers(), credentials: read, log: silentLogger, agentUid: 1001 }
  const server = await serveAdminApi(options)
  t.after(() => server.close())
  await using client = new AgentClient({ runtimeDir: dir })
  await assert.rejects(client.admin.getPolicy({}), { code: ErrorCode.PermissionDenied, hint: /runs the agent/ })
})

test('the runtime directory is the first of variable, system, session and temporary one', () => {
  assert.equal(runtimeDir({ WARREN_RUNTIME_DIR: '/a', XDG_RUNTIME_DIR: '/b' }, 0), '/a')
  assert.equal(runtimeDir({ WARREN_RUNTIME_DIR: '', XDG_RUNTIME_DIR: '/b' }, 0), '/run/warren')
  assert.equal(runtimeDir({ XDG_RUNTIME_DIR: '/b' }, 7), '/b/warren')
  assert.equal(runtimeDir({}, 7), '/tmp/warren-7')
})

test('a directory in /tmp that another user made is not taken for that of an agent', t => {
  // A uid that nobody has, so that the directory is always somebody else's.
  const uid = 2_000_000_000 + process.pid
  mkdirSync(`/tmp/warren-${uid}`)
  t.after(async () => (await import('node:fs')).rmdirSync(`/tmp/warren-${uid}`))
  assert.throws(() => agentDir({}, uid), { code: ErrorCode.PermissionDenied })
})

test('one process has one client for an agent', () => {
  assert.equal(sharedClient({ runtimeDir: '/a' }), sharedClient({ env: { WARREN_RUNTIME_DIR: '/a' } }))
})

test('the default source is in the scope of the destination and named after the user', () => {
  assert.equal(defaultSource('dev.web.*.default', 'ann'), 'dev.user.ann.default')
  assert.equal(defaultSource('dev.web.nginx.default.m1', '_jo.ann@corp'), 'dev.user.jo-ann-corp.default')
  assert.match(defaultSource('dev.a.b.c', ''), /^dev\.user\.uid-\d+\.default$/)
  for (const destination of ['*.a.b.c', '{dev,test}.a.b.c', '']) {
    assert.throws(() => defaultSource(destination), { code: ErrorCode.InvalidArgument, hint: /--as/ })
  }
})
