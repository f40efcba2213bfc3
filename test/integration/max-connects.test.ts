import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import test from 'node:test'
import { AgentClient, connect } from '../../src/client/index.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { scopeOf, TestAgent, waitFor } from '../harness/index.ts'

const ASKED = 40
const MOST = 2

test('a registration takes as many connections in a second as it says, and others as many as before', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const server = createServer(socket => void socket.on('error', () => {}).end('hello'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => server.close())
  const tcp = `127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const [address, ...options] of [
    ['dev.web.few.default', '--max-connects', String(MOST)],
    ['dev.web.many.default']
  ]) {
    agent.spawn(['expose', address ?? '', '--tcp', tcp, '--server-user', 'any', '--allow', 'dev.*.*.*', ...options])
    await agent.knows(address ?? '')
  }
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  const dial = async (address: string): Promise<string> => {
    try {
      const socket = await connect(address, { client, as: 'dev.shop.cart.default' })
      socket.on('error', () => {}).destroy()
      return 'connected'
    } catch (err) {
      return err instanceof Error && 'code' in err ? String(err.code) : String(err)
    }
  }
  // Its first check may not have passed yet.
  for (const address of ['dev.web.few.default', 'dev.web.many.default']) {
    await waitFor(async () => (await dial(address)) === 'connected', `a connection to ${address}`)
  }
  const all = async (address: string) => await Promise.all(Array.from({ length: ASKED }, () => dial(address)))
  const startedMs = performance.now()
  const outcomes = await all('dev.web.few.default')
  const most = MOST + (MOST * (performance.now() - startedMs)) / 1_000 + 1
  const connected = outcomes.filter(outcome => outcome === 'connected').length
  assert.ok(connected <= most, `${connected} connections`)
  assert.deepEqual(new Set(outcomes.filter(outcome => outcome !== 'connected')), new Set([ErrorCode.LimitExceeded]))
  assert.deepEqual(new Set(await all('dev.web.many.default')), new Set(['connected']))
  assert.match(await agent.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_connects_per_workload"\} [1-9]/m)
  // It is no end: later ones are taken again.
  await waitFor(async () => (await dial('dev.web.few.default')) === 'connected', 'a later connection')
})

test('a bound of connections that is none is refused', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  for (const number of ['0', '1.5', 'many', '1000001']) {
    const { code, stderr } = await agent.attempt(['register', 'dev.web.site.default', '--max-connects', number])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /--max-connects/)
  }
})
