import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, scopeOf, startPair, TestAgent } from '../harness/index.ts'

test('members find each other again by mDNS after both restart, with no bootstrap address', asRoot, async t => {
  const scope = scopeOf(t)
  const [a, b] = await createHosts(scope, 'a', 'b')
  const [first, second] = await startPair(scope, { hosts: [a, b] })
  await Promise.all([first.stop(), second.stop()])
  // New addresses, so that what the two remember of each other leads nowhere and only mDNS can help.
  a.run('ip', 'addr', 'flush', 'dev', 'eth0', 'scope', 'global')
  a.run('ip', 'addr', 'add', '10.77.0.11/24', 'dev', 'eth0')
  b.run('ip', 'addr', 'flush', 'dev', 'eth0', 'scope', 'global')
  b.run('ip', 'addr', 'add', '10.77.0.12/24', 'dev', 'eth0')
  for (const host of [a, b]) host.run('ip', 'route', 'replace', '224.0.0.0/4', 'dev', 'eth0')

  await Promise.all([first.start([]), second.start([])])
  await Promise.all([first.sees(1), second.sees(1)])
})

test('members find each other again where they were before, without mDNS', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const [first, second] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  await Promise.all([first.stop(), second.stop()])
  await Promise.all([first.start(['--no-mdns']), second.start(['--no-mdns'])])
  await Promise.all([first.sees(1), second.sees(1)])
})

test('a restarted agent is the same machine with the same keys, and keeps its policy', async t => {
  const scope = scopeOf(t)
  const agent = new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] })
  await agent.start()
  await agent.allow('dev.*.*.*', 'dev.web.site.default')
  const before = await agent.status()
  assert.equal((await agent.stop()).code, 0)
  await agent.start([])
  const after = await agent.status()
  assert.deepEqual([after.machine, after.peerId], [before.machine, before.peerId])
  assert.match(await agent.cli('policy', 'show'), /dev\.web\.site\.default/)
})

test('an agent that is told to stop ends with code 0 and leaves no socket behind', async t => {
  const agent = new TestAgent(scopeOf(t), { name: 'solo', args: ['--init', 'example.org'] })
  await agent.start()
  const { code, stderr } = await agent.stop()
  assert.equal(code, 0, stderr)
  await assert.rejects(agent.status(), /ENOENT|ECONNREFUSED/)
  assert.deepEqual(agent.endpointFiles(), [])
})
