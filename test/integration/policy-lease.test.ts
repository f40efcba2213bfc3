import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { localCall, scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
/** For the bound, which begins with the last confirmation, on a busy machine. */
const PATIENCE_MS = 60_000

async function isWithheld(agent: TestAgent): Promise<boolean> {
  const { body } = await localCall(agent.socket, 'WorkloadService/GetStatus')
  return (body as { policyWithheld?: boolean }).policyWithheld === true
}

test('a host serves nothing after the bound without the host of an admin, says so, and serves again when that is back', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: [] })
  await a.start(['--init', 'example.org'])
  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--policy-lease', '10s', '--join', (await a.cli('token', 'create', 'b')).trim()])
  // It has no bound, and is as cut off as b: it does not keep b serving.
  const c = new TestAgent(scope, { name: 'c', args: [] })
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim()])
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await a.cli('allow', 'dev.shop.*.*', SITE)
  await Promise.all([b, c].map(agent => agent.follows(a)))
  const [onB, onC] = [b, c].map(agent => new AgentClient({ runtimeDir: agent.runtimeDir })) as [
    AgentClient,
    AgentClient
  ]
  scope.defer(() => void [onB, onC].map(client => client.close()))
  for (const client of [onB, onC]) {
    await listen(SITE, { client }, socket => {
      socket.on('error', () => {})
      socket.pipe(socket)
    })
  }
  await c.knows(`${SITE}.b`)
  await b.knows(`${SITE}.c`)
  const standing = await connect(`${SITE}.b`, { client: onC, as: 'dev.shop.cart.default' })
  standing.on('error', () => {})
  standing.write('hello')
  await once(standing, 'data')

  await a.kill()
  const closed = new Promise(resolve => standing.once('close', resolve))
  await waitFor(() => isWithheld(b), 'b to serve nothing', PATIENCE_MS)
  await closed
  assert.equal(await isWithheld(c), false)
  await assert.rejects(connect(`${SITE}.b`, { client: onC, as: 'dev.shop.cart.default' }), { code: 'UNAUTHORIZED' })
  const refused = connect(`${SITE}.c`, { client: onB, as: 'dev.shop.cart.default' })
  await assert.rejects(refused, { code: 'UNAUTHORIZED', message: /no host of an admin has confirmed the policy/ })
  assert.match(await b.cli('status'), /ALARM .*serves nothing \(--policy-lease 10s\): start a host of an admin/)
  const explained = await b.attempt(['explain', 'dev.shop.cart.default.b', `${SITE}.b`])
  assert.match(explained.stdout, /denied \(LEASE\): no host of an admin has confirmed the policy/)
  assert.match((await b.attempt(['doctor'])).stdout, /policy lease +no host of an admin has confirmed the policy/)
  assert.match(await b.cli('metrics'), /warren_policy_withheld.* 1\n/)
  assert.match(b.program.stderr, /serves nothing: let it reach a host of an admin/)
  assert.equal((await b.status()).registrations, 1)

  await a.start([])
  await waitFor(async () => !(await isWithheld(b)), 'b to serve again', PATIENCE_MS)
  const again = await connect(`${SITE}.b`, { client: onC, as: 'dev.shop.cart.default' })
  again.on('error', () => {})
  again.write('hello')
  await once(again, 'data')
  assert.match(await b.cli('events', '--json'), /policy-unheard[\s\S]*policy-heard/)
})
