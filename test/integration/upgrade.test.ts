import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { WarrenError } from '../../src/core/index.ts'
import { type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const STEADY = 'dev.web.steady.default'
const ECHO = 'dev.web.echo.default'
const NEXT = '99.0.0'
const ROOT = join(import.meta.dirname, '..', '..')

/** What a package of the next version would install. Returns its program. */
function nextBuild(scope: Scope): string {
  const directory = scope.directory()
  for (const name of ['bin', 'dist', 'protocols']) cpSync(join(ROOT, name), join(directory, name), { recursive: true })
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ ...manifest, version: NEXT }))
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  return join(directory, 'bin', 'warren.js')
}

function clientOf(scope: Scope, agent: TestAgent): AgentClient {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  return client
}

async function echoOn(scope: Scope, agent: TestAgent, address: string) {
  const client = clientOf(scope, agent)
  return await listen(address, { client, whitelist: ['dev.*.*.*'] }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
}

test('one agent is upgraded while the others work: no byte and no connection of theirs is lost, and its programs are back by themselves', async t => {
  const scope = scopeOf(t)
  const [a, b, c] = ['a', 'b', 'c'].map(name => new TestAgent(scope, { name, args: [] })) as [
    TestAgent,
    TestAgent,
    TestAgent
  ]
  await a.start(['--init', 'example.org'])
  for (const agent of [b, c]) await agent.start(['--join', await a.token(agent.name)])
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await echoOn(scope, a, STEADY)
  const onB = await echoOn(scope, b, ECHO)
  await echoOn(scope, c, ECHO)
  await c.knows(STEADY)
  for (const name of ['b', 'c']) await a.knows(`${ECHO}.${name}`)
  const before = (await b.status()).version

  // Between a and c bytes flow all the time: each answer is checked, and asked for again.
  const steady = await connect(STEADY, { client: clientOf(scope, c), as: 'dev.shop.steady.default' })
  let exchanged = 0
  let stop = false
  const talking = (async () => {
    while (!stop) {
      const question = Buffer.alloc(4_096, exchanged)
      steady.write(question)
      let answer = Buffer.alloc(0)
      while (answer.length < question.length) {
        const [chunk] = (await once(steady, 'data')) as [Buffer]
        answer = Buffer.concat([answer, chunk])
      }
      assert.ok(answer.equals(question), 'an answer is not what was asked')
      exchanged += 1
    }
  })()
  // And a connects all the time to whichever instance there is.
  const client = clientOf(scope, a)
  const failures: string[] = []
  let connections = 0
  const connecting = (async () => {
    while (!stop) {
      try {
        const socket = await connect(ECHO, { client, as: 'dev.shop.cart.default' })
        socket.on('error', () => {})
        socket.write('x')
        await once(socket, 'data')
        socket.destroy()
        connections += 1
      } catch (err) {
        failures.push(WarrenError.from(err).message)
      }
    }
  })()

  await waitFor(() => connections > 10 && exchanged > 10, 'traffic')
  await b.cli('drain')
  await b.stop()
  const without = connections
  await waitFor(() => connections > without + 10, 'connections while b is off')
  await b.start([], nextBuild(scope))
  assert.equal((await b.status()).version, NEXT)
  assert.notEqual(before, NEXT)
  // Every host sees which version each runs.
  const versions = async () =>
    (JSON.parse(await a.cli('members', '--json')) as { members: { machine: string; version: string }[] }).members
  await waitFor(
    async () => (await versions()).some(({ machine, version }) => machine === 'b' && version === NEXT),
    'a to see it'
  )

  // The program on b did nothing: the library has registered it again, and others are sent there.
  await waitFor(async () => {
    const socket = await connect(`${ECHO}.b`, { client, as: 'dev.shop.cart.default' }).catch(() => undefined)
    socket?.on('error', () => {}).destroy()
    return socket !== undefined
  }, 'the program on b to be reached')
  const after = exchanged
  await waitFor(() => exchanged > after + 10, 'bytes after it')
  stop = true
  await Promise.all([talking, connecting])
  steady.destroy()
  t.diagnostic(`${connections} connections, ${exchanged} exchanges of 4 KiB`)
  assert.deepEqual(failures, [])
  assert.equal(onB.registration?.address, `${ECHO}.b`)
})
