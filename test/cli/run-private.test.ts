import assert from 'node:assert/strict'
import { once } from 'node:events'
import { statSync, symlinkSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { namesFor } from '../../src/cli/run/names/index.ts'
import { privateDirectory } from '../../src/cli/run/private-directory.ts'
import { SpiffeSocket } from '../../src/cli/run/spiffe-socket.ts'
import type { AgentClient, Registration } from '../../src/client/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { type Scope, scopeOf } from '../harness/index.ts'

interface Registered {
  state: Registration['state']
  readonly closed: Registration['closed']
}

/** A socket for a registration whose state is set by hand; the agent echoes what comes to its own. */
async function spiffeSocket(scope: Scope, own: Registered) {
  const [runtimeDir, directory] = [scope.directory(), scope.directory()]
  const agent = createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(
    join(runtimeDir, 'spiffe.sock')
  )
  scope.defer(() => void agent.close())
  await once(agent, 'listening')
  const client = { runtimeDir, dial: (path: string) => connect(path) } as unknown as AgentClient
  const socket = await SpiffeSocket.listen({ client, own, directory, isOwn: () => true, onFailure: () => {} })
  scope.defer(() => socket.close())
  return socket
}

function ask(scope: Scope, path: string): { readonly socket: Socket; readonly closed: Promise<unknown> } {
  const socket = connect(path).on('error', () => {})
  scope.defer(() => void socket.destroy())
  const closed = new Promise(resolve => socket.once('close', resolve))
  // Paused, it would not notice the end.
  socket.resume()
  socket.write('x')
  return { socket, closed }
}

test('the SPIFFE socket of a command gives nothing while its registration is lost, and ends with it', async t => {
  const scope = scopeOf(t)
  const end = Promise.withResolvers<{ reason: string }>()
  const own: Registered = { state: 'live', closed: end.promise }
  const spiffe = await spiffeSocket(scope, own)
  const first = ask(scope, spiffe.path)
  await once(first.socket, 'data')
  own.state = 'lost'
  spiffe.reset()
  await first.closed
  const meanwhile = ask(scope, spiffe.path)
  await meanwhile.closed
  assert.equal(meanwhile.socket.bytesRead, 0)
  own.state = 'live'
  const again = ask(scope, spiffe.path)
  await once(again.socket, 'data')
  own.state = 'closed'
  end.resolve({ reason: 'revoked' })
  await again.closed
  const late = ask(scope, spiffe.path)
  await late.closed
  assert.equal(late.socket.bytesRead, 0)
})

test('the directory of a command is one of its user alone, wherever XDG_RUNTIME_DIR leads', t => {
  const scope = scopeOf(t)
  const given = scope.directory()
  const link = join(given, 'link')
  symlinkSync(given, link)
  const parentOf = (env: NodeJS.ProcessEnv): string => {
    const { path, remove } = privateDirectory(env)
    assert.equal(statSync(path).mode & 0o777, 0o700)
    remove()
    remove()
    return dirname(path)
  }
  assert.equal(parentOf({ XDG_RUNTIME_DIR: given }), given)
  for (const env of [
    {},
    ...['', '/no-such-directory', '/dev/null', link].map(XDG_RUNTIME_DIR => ({ XDG_RUNTIME_DIR }))
  ])
    assert.equal(parentOf(env), tmpdir())
})

test('where the file of hosts cannot be made, names are unsupported, which stops no command that only mentions one', async () => {
  const nowhere = (): never => {
    throw Object.assign(new Error('ENOSPC: no space left on device, mkdtemp'), { code: 'ENOSPC' })
  }
  const options = { client: undefined as unknown as AgentClient, scope: undefined, mentioned: new Set<string>() }
  const further = { open: async () => undefined, keepAliveMs: 0, hasProxy: false, onFailure: () => {} }
  for (const directory of [nowhere, () => '/no-such-directory']) {
    const made = namesFor({ ...options, ...further, directory }, AbortSignal.timeout(10_000))
    await assert.rejects(made, err => WarrenError.is(err, ErrorCode.Unsupported) && /cannot be copied/.test(err.reason))
  }
})
