import assert from 'node:assert/strict'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ensureRuntimeDir, serveWorkloadApi, type WorkloadHandlers } from '../../src/api/index.ts'
import { ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { fakeCredentials, workloadHandlers } from '../api/support.ts'
import { type Scope, scopeOf, warren } from '../harness/index.ts'

async function serve(scope: Scope, runtimeDir: string, handlers: Partial<WorkloadHandlers>): Promise<void> {
  await ensureRuntimeDir(runtimeDir)
  const credentials = fakeCredentials(process.getuid?.() ?? 0).read
  const options = { runtimeDir, credentials, log: silentLogger, handlers: workloadHandlers(handlers) }
  const api = await serveWorkloadApi(options)
  scope.defer(() => api.close())
}

const registering: Partial<WorkloadHandlers> = {
  register: async ({ address }) => ({ token: 't', address: `${address}.m1`, listenPath: '' }),
  keep: async function* (_request, _caller, signal) {
    yield { event: { case: 'alive', value: {} } }
    await new Promise(resolve => signal.addEventListener('abort', resolve))
  },
  deregister: async () => ({})
}

const WAITING =
  /^warren: waiting for the agent: no agent answers on \S+agent\.sock; .*warren up.* \(--no-wait fails instead\)$/m

/** A place for an agent that is not there yet. */
function place(t: TestContext): { readonly scope: Scope; readonly runtimeDir: string } {
  const scope = scopeOf(t)
  return { scope, runtimeDir: join(scope.directory(), 'run') }
}

test('expose says once what it waits for, and registers as soon as there is an agent', async t => {
  const { scope, runtimeDir } = place(t)
  const expose = warren(
    scope,
    ['expose', 'dev.web.site.default', '--tcp', '127.0.0.1:1', '--tcp', ':2'],
    {},
    runtimeDir
  )
  await expose.says(WAITING, 'stderr')
  assert.equal(expose.stdout, '')
  await serve(scope, runtimeDir, registering)
  await expose.says(/^dev\.web\.site\.default\.m1\ndev\.web\.site\.default\.m1\n/)
  await expose.says(/^warren: the agent answers$/m, 'stderr')
  assert.equal(expose.stderr.match(/waiting for the agent/g)?.length, 1)
  const { code } = await expose.stop()
  assert.equal(code, 0)
})

test('forward opens its listener only once there is an agent', async t => {
  const { scope, runtimeDir } = place(t)
  const path = join(scope.directory(), 'local')
  const forward = warren(scope, ['forward', 'dev.web.site.default', '--listen', `unix:${path}`], {}, runtimeDir)
  await forward.says(WAITING, 'stderr')
  assert.equal(existsSync(path), false)
  await serve(scope, runtimeDir, { listServices: async () => ({ services: [] }) })
  await forward.says(/^unix:/)
  assert.equal(existsSync(path), true)
  assert.equal((await forward.stop()).code, 0)
})

test('an agent that is starting is awaited as well', async t => {
  const { scope, runtimeDir } = place(t)
  let calls = 0
  await serve(scope, runtimeDir, {
    ...registering,
    register: async ({ address }) => {
      calls += 1
      if (calls < 3) throw new WarrenError(ErrorCode.NotReady, 'the agent is starting')
      return { token: 't', address: `${address}.m1` }
    }
  })
  const expose = warren(scope, ['expose', 'dev.web.site.default', '--tcp', '127.0.0.1:1'], {}, runtimeDir)
  await expose.says(/^dev\.web\.site\.default\.m1\n/)
  assert.match(expose.stderr, /^warren: waiting for the agent: the agent is starting \(--no-wait fails instead\)$/m)
  await expose.stop()
})

test('a refusal of the agent is an error at once, and so is the lack of one with --no-wait', async t => {
  const { scope, runtimeDir } = place(t)
  const args = ['expose', 'dev.web.site.default', '--tcp', '127.0.0.1:1']
  const none = await warren(scope, [...args, '--no-wait'], {}, runtimeDir).outcome()
  assert.equal(none.code, 1)
  assert.match(none.stderr, /^warren: AGENT_NOT_RUNNING: no agent answers on \S+\n {2}[^\n]*warren up[^\n]*\n$/)
  await serve(scope, runtimeDir, {
    register: async () => {
      throw new WarrenError(ErrorCode.PermissionDenied, 'no entry grants it')
    }
  })
  const refused = await warren(scope, args, {}, runtimeDir).outcome()
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /^warren: PERMISSION_DENIED: no entry grants it\n/)
})

test('svid fetch --watch waits too, and without --watch it fails at once', async t => {
  const { scope, runtimeDir } = place(t)
  const out = join(scope.directory(), 'svid')
  for (const args of [[], ['dev.web.site.default'], ['--watch', '--no-wait']]) {
    const { code, stderr } = await warren(scope, ['svid', 'fetch', ...args, '--out', out], {}, runtimeDir).outcome()
    assert.deepEqual([code, /^warren: AGENT_NOT_RUNNING: /.test(stderr)], [1, true], stderr)
  }
  const watching = warren(scope, ['svid', 'fetch', 'dev.web.site.default', '--watch', '--out', out], {}, runtimeDir)
  await watching.says(WAITING, 'stderr')
  await watching.stop()
})

test('a signal ends the wait, and --quiet waits without a word', async t => {
  const { scope, runtimeDir } = place(t)
  const args = ['serve', 'dev.web.site.default']
  const waiting = warren(scope, args, {}, runtimeDir)
  await waiting.says(WAITING, 'stderr')
  const { code, signal, stderr } = await waiting.stop()
  assert.deepEqual([code, signal], [1, null])
  assert.doesNotMatch(stderr, /warren: (?!waiting)/)
  // A socket without an agent behind it: whoever connects is here, and has said nothing before.
  const knocked = Promise.withResolvers<void>()
  const server = createServer(socket => {
    knocked.resolve()
    socket.destroy()
  })
  mkdirSync(runtimeDir, { mode: 0o700 })
  const bound = join(runtimeDir, 'bound')
  await new Promise<void>(resolve => server.listen(bound, resolve))
  scope.defer(() => server.close())
  const quiet = warren(scope, [...args, '--quiet'], {}, runtimeDir)
  renameSync(bound, join(runtimeDir, 'agent.sock'))
  await knocked.promise
  assert.equal((await quiet.stop()).stderr, '')
})
