import assert from 'node:assert/strict'
import { chmodSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import test from 'node:test'
import { asRoot, at, Program, type Scope, scopeOf, startPair, TestAgent, warren } from '../harness/index.ts'

const OWNER = 61_234
const OTHER = 61_235
const SITE = 'dev.web.site.default'

/** One JSON call by curl, as `uid`. */
async function curl(scope: Scope, agent: TestAgent, uid: number, method: string, body: object): Promise<string> {
  const url = `http://localhost/warren.api.v1.${method}`
  const json = ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]
  const argv = ['curl', '--silent', '--show-error', '--unix-socket', agent.socket, ...json, url]
  const { stdout, stderr } = await new Program(scope, at({ uid }, argv)).outcome()
  return stdout + stderr
}

/** What a process of `uid` gets out of the unix socket at `path` when it says something to it. */
async function listenTo(scope: Scope, uid: number, path: string): Promise<string> {
  const script = `
    const socket = require('node:net').connect(process.argv[1])
    socket.on('connect', () => { console.log('CONNECTED'); socket.end('squatter') })
    socket.on('data', chunk => console.log('DATA', chunk.toString()))
    socket.on('error', err => console.log(err.code))
    socket.on('close', () => console.log('CLOSED'))`
  return (await new Program(scope, at({ uid }, [process.execPath, '-e', script, path])).outcome()).stdout
}

test('another user gets nothing out of what belongs to a workload', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { uid: OWNER })
  // Others may look for sockets: what protects them must be their own owner, mode and the check at accept.
  for (const agent of [a, b]) chmodSync(dirname(agent.runtimeDir), 0o755)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)

  // The agent's uid owns every address of the host by default; nobody else has any.
  assert.match(
    await curl(scope, b, OTHER, 'WorkloadService/Register', { address: 'dev.own.own.default' }),
    /PERMISSION_DENIED/
  )

  // A stolen token is worth nothing to another uid. The owner's registration lives as long as this process.
  const holder = new Program(scope, at({ uid: OWNER }, ['sleep', '600']))
  const registered = await b.cli('register', 'dev.shop.cart.default', '--pid', String(holder.pid))
  const { token } = JSON.parse(registered) as { token: string }
  for (const [method, body] of [
    ['Connect', { token, destination: SITE }],
    ['Heartbeat', { token }],
    ['Deregister', { token }]
  ] as const) {
    assert.match(
      await curl(scope, b, OTHER, `WorkloadService/${method}`, body),
      /PERMISSION_DENIED|INVALID_SOURCE/,
      method
    )
  }

  // The endpoint is the owner's, and stays so even if somebody opens its mode.
  const answer = JSON.parse(await curl(scope, b, OWNER, 'WorkloadService/Connect', { token, destination: SITE }))
  const { path } = answer as { path: string }
  const { uid, mode } = statSync(path)
  assert.equal(uid, OWNER)
  assert.equal(mode & 0o777, 0o600)
  assert.match(await listenTo(scope, OTHER, path), /EACCES/)
  chmodSync(path, 0o666)
  const squatted = await listenTo(scope, OTHER, path)
  assert.doesNotMatch(squatted, /DATA/)
  assert.match(squatted, /CLOSED/)
  assert.equal(serve.stdout, '')
})

test('another user cannot command the agent', asRoot, async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'], uid: OWNER }).start()
  chmodSync(dirname(a.runtimeDir), 0o755)
  for (const args of [['token', 'create', 'c'], ['allow', 'dev.*.*.*', 'dev.*.*.*'], ['members']]) {
    const { code, stderr } = await warren(scope, args, { uid: OTHER }, a.runtimeDir).outcome()
    assert.equal(code, 1)
    assert.match(stderr, /PERMISSION_DENIED/)
  }
})
