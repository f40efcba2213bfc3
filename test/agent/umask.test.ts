import assert from 'node:assert/strict'
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import test, { type TestContext } from 'node:test'
import { startAgent } from '../../src/agent/index.ts'
import { EndpointDirectory } from '../../src/proxy/outbound/endpoint-socket.ts'
import { createListenDirectory } from '../../src/workloads/listen-directory.ts'
import { GID, UID } from './support.ts'

/** A directory of this test; what is made until the test ends is made under `umask`. */
function under(t: TestContext, umask: number): string {
  const root = mkdtempSync(join(tmpdir(), 'warren-umask-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const before = process.umask(umask)
  t.after(() => process.umask(before))
  return root
}

/** The mode of everything below a directory, by its path. */
function modesBelow(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).map(name => join(root, name))
  return Object.fromEntries(
    paths.map(path => [relative(root, path), (lstatSync(path).mode & 0o777).toString(8)]).sort()
  )
}

for (const umask of [0o000, 0o077, 0o022]) {
  const name = umask.toString(8).padStart(3, '0')

  test(`under umask ${name} everything that an agent makes is open to exactly whom it is for`, async t => {
    const root = under(t, umask)
    const agent = await startAgent({
      init: 'umask.test',
      name: 'alpha',
      stateDir: join(root, 'var', 'state'),
      runtimeDir: join(root, 'run', 'warren'),
      listen: { host: '127.0.0.1', port: 0 },
      dataListen: { host: '127.0.0.1', port: 0 },
      mdns: false,
      logLevel: 'silent'
    })
    t.after(() => agent.stop())
    assert.equal(process.umask(), umask)
    const { var: ofState, 'var/state': state, run, 'run/warren': runtime, ...rest } = modesBelow(root)
    // Others pass through the runtime directory to agent.sock, and see nothing of the state.
    assert.deepEqual({ ofState, state, run, runtime }, { ofState: '700', state: '700', run: '755', runtime: '755' })
    const ofRuntime = Object.entries(rest).filter(([path]) => path.startsWith('run/'))
    assert.deepEqual(Object.fromEntries(ofRuntime), {
      'run/warren/admin.sock': '600',
      'run/warren/agent.sock': '666',
      'run/warren/endpoints': '711',
      'run/warren/spiffe.sock': '666',
      'run/warren/staging': '700',
      'run/warren/w': '711',
      'run/warren/warren.lock': '600'
    })
    const files = Object.entries(rest).filter(([path]) => path.startsWith('var/state/'))
    assert.ok(files.some(([path]) => path.endsWith('warren.db-wal')))
    assert.deepEqual(
      files.filter(([, mode]) => mode !== '600' && mode !== '700'),
      []
    )
  })

  test(`under umask ${name} what an agent makes for a workload is for its user alone`, async t => {
    const root = under(t, umask)
    const { directory } = createListenDirectory(root, UID, GID)
    assert.equal(lstatSync(directory).mode & 0o777, 0o700)
    const endpoints = new EndpointDirectory(root)
    endpoints.prepare()
    const { path, close } = await endpoints.open(UID, socket => socket.destroy())
    t.after(close)
    assert.equal(lstatSync(path).mode & 0o777, 0o600)
  })
}

test('an agent that has stopped leaves no socket behind, nor what it was made in', async t => {
  const root = under(t, 0o000)
  const agent = await startAgent({
    init: 'umask.test',
    name: 'alpha',
    stateDir: join(root, 'state'),
    runtimeDir: join(root, 'run'),
    listen: { host: '127.0.0.1', port: 0 },
    dataListen: { host: '127.0.0.1', port: 0 },
    mdns: false,
    logLevel: 'silent'
  })
  await agent.stop()
  const left = Object.keys(modesBelow(join(root, 'run'))).filter(
    path => path.endsWith('.sock') || path.startsWith('.b')
  )
  assert.deepEqual(left, [], 'sockets and what they were made in are gone')
})
