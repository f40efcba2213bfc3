import assert from 'node:assert/strict'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { type Scope, scopeOf, startPair, TestAgent } from '../harness/index.ts'
import { adminsOn, makeAdmin } from './support/admins.ts'

const SITE = 'dev.web.site.default'

interface Answer {
  readonly version: number
  readonly complete: boolean
  readonly receipts: ReadonlyArray<{
    readonly machine: string
    readonly state: string
    readonly policyVersion: number
    readonly flowsCut: number
  }>
}

function clientOf(scope: Scope, agent: TestAgent): AgentClient {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => void client.close())
  return client
}

test('each admin waits for the receipts of its own changes, owners and observers look at all hosts, and nobody else', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const c = new TestAgent(scope, { name: 'c', args: [] })
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim()])
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await a.cli('allow', 'prod.*.*.*', 'prod.*.*.*', '--wait')
  await a.cli('allow', 'prod.a.*.*', 'prod.a.*.*', '--wait')
  await makeAdmin(a, b, 'bob', 'admin', '--scope', 'dev')
  await makeAdmin(a, c, 'carol', 'observer')

  const file = join(scope.directory(), 'policy.yaml')
  writeFileSync(file, 'rules: []\n')
  const unchanged = await b.attempt(['policy', 'apply', file, '--wait'])
  assert.deepEqual([unchanged.code, unchanged.stdout], [0, ''])
  assert.match(
    unchanged.stderr,
    /nothing differs[\s\S]*there is nothing to wait for: the admin of this host has stated nothing/
  )

  const waited = async (...args: string[]): Promise<Answer> => {
    const { code, stdout, stderr } = await b.attempt([...args, '--json'])
    assert.equal(code, 0, stderr)
    const answer = JSON.parse(stdout) as Answer
    assert.equal(answer.complete, true)
    assert.deepEqual(
      answer.receipts.map(({ machine, state, policyVersion }) => `${machine} ${state} ${policyVersion}`).sort(),
      ['a', 'b', 'c'].map(machine => `${machine} applied ${answer.version}`)
    )
    return answer
  }
  const allowed = await waited('allow', 'dev.shop.*.*', SITE, '--wait')
  assert.equal(allowed.version, 1)
  await listen(SITE, { client: clientOf(scope, b) }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await c.knows(SITE)
  const client = clientOf(scope, c)
  // What is allowed works on all hosts from the receipts on.
  const socket = await connect(SITE, { client, as: 'dev.shop.cart.default' })
  socket.on('error', () => {})
  socket.write('hello')
  await once(socket, 'data')

  const status = JSON.parse(await b.cli('status', '--json')) as { policySetVersion: number }
  assert.equal(status.policySetVersion, 1)
  assert.match(await b.cli('status'), /^own policy +version 1$/m)
  assert.doesNotMatch(await a.cli('status'), /own policy/)

  // An admin of scopes looks at its own host only, an observer at all of them.
  const refused = await b.attempt(['flows', '--mesh'])
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /NOT_ADMIN: the admin of this host has scopes/)
  assert.match(await c.cli('flows', '--mesh'), /b +inbound[\s\S]*c +outbound/)
  const nothing = await c.attempt(['policy', 'receipts'])
  assert.equal(nothing.code, 1)
  assert.match(nothing.stderr, /NOT_ADMIN: the admin of this host is an observer/)

  // A dry run of an owner is of what this owner has stated: only then the rule that is missing is a change.
  await makeAdmin(a, b, 'bob', 'owner')
  const dry = JSON.parse(await b.cli('policy', 'apply', file, '--prune', '--dry-run', '--mesh', '--json')) as {
    complete: boolean
    hosts: Array<{ machine: string; flows: unknown[] }>
  }
  assert.deepEqual(
    [dry.complete, dry.hosts.map(({ machine, flows }) => `${machine} ${flows.length}`).sort()],
    [true, ['a 0', 'b 1', 'c 1']]
  )

  // A policy that is too long for a question is fetched: this one would cut the flow.
  const rules = Array.from({ length: 3_000 }, (_, at) => `  - allow: dev.a${at}.*.*\n    to: dev.db.b.*\n`)
  writeFileSync(file, `rules:\n  - deny: dev.shop.*.*\n    to: dev.web.*.*\n${rules.join('')}`)
  assert.ok(statSync(file).size > 96 * 1024)
  const long = JSON.parse(await a.cli('policy', 'apply', file, '--dry-run', '--mesh', '--json')) as typeof dry
  assert.deepEqual(
    [long.complete, long.hosts.map(({ machine, flows }) => `${machine} ${flows.length}`).sort()],
    [true, ['a 0', 'b 1', 'c 1']]
  )
  writeFileSync(file, 'rules: []\n')

  const closed = new Promise(resolve => socket.once('close', resolve))
  const applied = await waited('policy', 'apply', file, '--prune', '--wait')
  assert.equal(applied.version, 2)
  assert.ok(applied.receipts.reduce((sum, { flowsCut }) => sum + flowsCut, 0) >= 1)
  await closed
  await assert.rejects(connect(SITE, { client, as: 'dev.shop.cart.default' }), { code: 'UNAUTHORIZED' })
  assert.match((await b.attempt(['policy', 'receipts'])).stderr, /policy version 2: 3 hosts applied it/)
  // The founder asks about its own set.
  const own = JSON.parse(await a.cli('deny', 'prod.b.*.*', 'prod.*.*.*', '--wait', '--json')) as Answer
  assert.equal(own.complete, true)
  assert.ok(own.version > 2)

  // When these return, every host knows it.
  const key = (await c.cli('admin', 'key')).trim()
  const promoted = await a.attempt(['admin', 'add', 'carol', '--role', 'owner', '--key', key, '--wait', '--json'])
  assert.deepEqual([promoted.code, (JSON.parse(promoted.stdout) as Answer).complete], [0, true], promoted.stderr)
  assert.match(await c.cli('admin', 'list'), /^carol \(this host\) +owner/m)
  const removed = JSON.parse(await a.cli('admin', 'remove', 'bob', '--reason', 'left', '--wait', '--json')) as Answer
  assert.deepEqual([removed.complete, removed.receipts.length], [true, 3])
  assert.ok((await adminsOn(b)).some(({ removedBy }) => removedBy === 'founder'))
  for (const args of [
    ['policy', 'receipts'],
    ['flows', '--mesh']
  ])
    assert.match((await b.attempt(args)).stderr, /NOT_ADMIN: bob, .* was removed by founder: left/)
})
