import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { FakeAgent } from '../client/fake-agent.ts'
import { Program, scopeOf } from '../harness/index.ts'

const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples')
const ADDRESS = 'dev.examples.echo.default'

function example(t: TestContext, agent: FakeAgent, name: string, ...args: string[]): Program {
  const env = { WARREN_RUNTIME_DIR: agent.runtimeDir }
  return new Program(scopeOf(t), [process.execPath, join(EXAMPLES, name, 'main.ts'), ...args], { env })
}

test('the client sends what it reads, logs the response and exits; the server prints and answers', async t => {
  const agent = await new FakeAgent(t).start()
  const server = example(t, agent, 'server', ADDRESS, 'dev.*.*.*')
  await server.says(/^serving dev\.examples\.echo\.default\.m1$/m)
  const client = example(t, agent, 'client', ADDRESS, 'dev.shop.cart.default')
  client.stdin.end('one\ntwo')
  const { code, stdout, stderr } = await client.outcome()
  const name = 'dev.shop.cart.default.m1'
  assert.equal(code, 0)
  assert.equal(stdout, `${name} said: one\n${name} said: two\n`)
  assert.match(stderr, /^connected to spiffe:\/\/example\.org\/dev\/examples\/echo\/default\/m1$/m)
  await server.says(new RegExp(`^${name}: one$`, 'm'))
  await server.says(new RegExp(`^${name} is gone$`, 'm'))
  assert.equal((await server.stop()).code, 0)
  assert.deepEqual(
    agent.addresses().filter(address => address.startsWith(ADDRESS)),
    []
  )
})

test('the client says why it could not connect, and fails', async t => {
  const agent = await new FakeAgent(t).start()
  const client = example(t, agent, 'client', ADDRESS)
  const { code, stdout, stderr } = await client.outcome()
  assert.equal(code, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^DESTINATION_NOT_FOUND: /)
})

test('both say what to do when no agent runs', async t => {
  for (const name of ['client', 'server']) {
    const env = { WARREN_RUNTIME_DIR: '/nonexistent' }
    const program = new Program(scopeOf(t), [process.execPath, join(EXAMPLES, name, 'main.ts')], { env })
    const { code, stderr } = await program.outcome()
    assert.equal(code, 1)
    assert.match(stderr, /^AGENT_NOT_RUNNING: .*\n.*warren up/)
  }
})
