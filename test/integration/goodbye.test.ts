import assert from 'node:assert/strict'
import test from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { scopeOf, TestAgent } from '../harness/index.ts'
import { membersOf, register, registrationsOn } from './support/mesh-of-hosts.ts'

test('while a host stops, and after it has, every registration with wait all is replicated, and nobody suspects it', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const joined = async (name: string): Promise<TestAgent> => {
    const agent = new TestAgent(scope, { name, args: [] })
    await agent.start(['--join', await a.token(name)])
    await agent.follows(a)
    return agent
  }
  const [b, c] = [await joined('b'), await joined('c')]
  await register(c, 'dev.web.site.default', 'all')
  const client = new AgentClient({ runtimeDir: b.runtimeDir })
  scope.defer(() => client.close())
  let count = 0
  const registered = async () => {
    count += 1
    const address = `dev.shop.cart-${count}.default`
    const { token, replication } = await client.workload.register({ address, wait: apiPb.Wait.ALL, ttlMs: 60_000 })
    await client.workload.deregister({ token, wait: apiPb.Wait.LOCAL })
    return { state: replication?.state, missing: replication?.missing, required: replication?.required }
  }
  assert.deepEqual(await registered(), { state: 'replicated', missing: [], required: 2 })

  let hasEnded = false
  const stopping = c.stop().finally(() => {
    hasEnded = true
  })
  while (!hasEnded) {
    const { state, missing } = await registered()
    assert.deepEqual([state, missing], ['replicated', []])
  }
  assert.equal((await stopping).code, 0)
  assert.deepEqual(await registered(), { state: 'replicated', missing: [], required: 1 })
  for (const agent of [a, b]) {
    assert.equal((await membersOf(agent)).has('c'), false)
    assert.deepEqual(
      (await registrationsOn(agent)).filter(({ machine }) => machine === 'c'),
      []
    )
    assert.doesNotMatch(agent.program.stderr, /member suspected/)
  }

  await c.start([])
  await Promise.all([a.sees(2), b.sees(2)])
  assert.deepEqual(await registered(), { state: 'replicated', missing: [], required: 2 })
})
