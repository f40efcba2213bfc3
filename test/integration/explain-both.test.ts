import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import test from 'node:test'
import { scopeOf, startPair, TestAgent } from '../harness/index.ts'
import { outputOf } from './support/variants/mesh.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

interface Answer {
  readonly works: boolean
  readonly complete: boolean
  readonly hosts: ReadonlyArray<{ readonly machine: string; readonly role: string }>
  readonly connection?: { readonly works: boolean; readonly peer: string; readonly steps: readonly unknown[] }
}

test('a host without an admin explains its own connections by both ends, and not those of others', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const c = new TestAgent(scope, { name: 'c', args: ['--join', (await a.cli('token', 'create', 'c')).trim()] })
  await c.start()
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  const server = createServer(socket => void socket.on('error', () => {}).end('hi')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.defer(() => void server.close())
  const { port } = server.address() as { port: number }
  const exposed = b.spawn(['expose', SITE, '--tcp', `127.0.0.1:${port}`, '--allow', 'dev.*.*.*'])
  await exposed.says(/leads to/, 'stderr')
  await Promise.all([a.knows(SITE), c.knows(SITE)])
  const explained = async (agent: TestAgent, ...args: string[]): Promise<Answer> =>
    JSON.parse((await agent.attempt(['explain', ...args, '--json'])).stdout) as Answer
  const endsOf = ({ hosts }: Answer): string[] => hosts.map(({ machine, role }) => `${machine} ${role}`)

  // Neither b nor c has the key of an admin. The source need not be registered.
  for (const [agent, source] of [
    [c, SHOP],
    [b, `${SHOP}.c`]
  ] as const) {
    const answer = await explained(agent, source, SITE)
    assert.deepEqual([answer.works, answer.complete, endsOf(answer)], [true, true, ['c source', 'b destination']])
  }
  // Of others it says what it sees, and that this is not all; the founder may ask about all.
  const others = await outputOf(c, 'explain', `${SHOP}.a`, SITE)
  assert.match(others, /^\? +path +a must say whether it reaches b; from this host: direct/m)
  assert.match(others, /only this host was asked: [\s\S]*exit code 3/)
  assert.equal((await c.attempt(['explain', `${SHOP}.a`, SITE, '--mesh'])).code, 1)
  assert.deepEqual(endsOf(await explained(a, `${SHOP}.c`, SITE)), ['c source', 'b destination'])

  // On its own host the user of the port is named, and on no other.
  assert.match(
    await outputOf(b, 'explain', SHOP, SITE),
    new RegExp(`ok +server +uid \\d+ has 127\\.0\\.0\\.1:${port}/tcp`)
  )
  const fromAfar = await outputOf(c, 'explain', SHOP, SITE)
  assert.match(fromAfar, new RegExp(`ok +server +a server has 127\\.0\\.0\\.1:${port}/tcp`))
  assert.doesNotMatch(fromAfar, /uid \d|pid/)
  assert.match(await b.cli('events', '--type', 'question-asked'), /question-asked .*machine=c/)

  const tried = await explained(c, SHOP, SITE, '--connect')
  assert.deepEqual(
    [tried.connection?.works, tried.connection?.peer, tried.connection?.steps.length],
    [true, `${SITE}.b`, 4]
  )
  const elsewhere = await c.attempt(['explain', `${SHOP}.a`, SITE, '--connect'])
  assert.deepEqual([elsewhere.code, /--connect is for sources of this host, c/.test(elsewhere.stderr)], [2, true])

  assert.match(await c.cli('who-can-reach', SITE), /^whitelist +dev\.\*\.\*\.\* +dev\.web\.site\.default\.b +tcp/m)
  await c.cli('register', SHOP, '--pid', String(process.pid))
  assert.match(await c.cli('what-can', SHOP, 'reach'), /^dev\.shop\.cart\.default\.c +dev\.web\.site\.default\.b +tcp/m)
})
