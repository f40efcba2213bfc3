import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { adminsOn, inForce, makeAdmin, policyOf } from './support/admins.ts'

test('the founding host is lost: two owners are left, change the policy, evict it and add others', async t => {
  const scope = scopeOf(t)
  const a = new TestAgent(scope, { name: 'a', args: [] })
  await a.start(['--init', 'example.org'])
  const [b, c] = ['b', 'c'].map(name => new TestAgent(scope, { name, args: [] }))
  assert.ok(b !== undefined && c !== undefined)
  for (const agent of [b, c]) await agent.start(['--join', (await a.cli('token', 'create', agent.name)).trim()])
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await makeAdmin(a, b, 'bob', 'owner')
  await makeAdmin(a, c, 'carol', 'owner')
  await a.cli('deny', 'dev.*.*.*', 'dev.vault.*.*')
  const { version } = await policyOf(a)
  await Promise.all([b, c].map(agent => agent.follows(a)))
  await a.kill()

  await b.cli('allow', 'dev.*.*.*', 'dev.web.*.*')
  await c.cli('evict', 'a', '--reason', 'stolen')
  await inForce([b, c], `bob/r1 r${version}`)
  // What the founder stated goes on to count, until an owner takes it back; what its key signs from now on does not.
  await b.cli('admin', 'remove', 'founder', '--reason', 'stolen')
  await c.cli('policy', 'remove', `r${version}`)
  await inForce([b, c], 'bob/r1')
  assert.deepEqual(
    (await adminsOn(c)).map(({ name, removedBy = '' }) => [name, removedBy]),
    [
      ['founder', 'bob'],
      ['bob', ''],
      ['carol', '']
    ]
  )
  assert.match(
    (await b.attempt(['admin', 'remove', 'founder', '--discard'])).stderr,
    /INVALID_ARGUMENT: this host is an owner by/
  )

  // The thief starts it elsewhere: nobody admits it, and what it signs has no effect.
  await a.start([])
  await a.attempt(['allow', 'dev.*.*.*', 'dev.vault.*.*'])
  await waitFor(async () => (await a.status()).state === 'evicted', 'a to be refused')
  await inForce([b, c], 'bob/r1')
})
