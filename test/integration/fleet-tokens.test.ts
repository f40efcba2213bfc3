import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parseJoinToken } from '../../src/identity/index.ts'
import { asRoot, createHosts, type Scope, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { askToJoin, newKeys, outcomeOf } from './support/joining-host.ts'

interface Shown {
  readonly token: { readonly state: string; readonly uses: number; readonly used: number }
  readonly uses: ReadonlyArray<{ readonly machine: string; readonly peerId: string; readonly remote: string }>
}

async function found(scope: Scope): Promise<TestAgent> {
  return await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
}

async function make(agent: TestAgent, ...options: string[]): Promise<{ token: string; id: string }> {
  return JSON.parse(await agent.cli('token', 'create', ...options, '--json'))
}

const show = async (agent: TestAgent, id: string): Promise<Shown> =>
  JSON.parse(await agent.cli('token', 'show', id, '--json'))

async function gone(agent: TestAgent, machine: string): Promise<void> {
  await waitFor(async () => {
    const { members } = JSON.parse(await agent.cli('members', '--json')) as { members: { machine: string }[] }
    return !members.some(one => one.machine === machine)
  }, `${machine} to be gone`)
}

test('a token admits as many hosts as it has uses, however many ask at the same instant, also over a crash', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token, id } = await make(a, '--name', 'web-*', '--uses', '5', '--scope', 'dev')
  const ask = (from: number, count: number) =>
    Promise.all(Array.from({ length: count }, (_, at) => outcomeOf(askToJoin(token, `web-${from + at}`))))
  // Killed while some of them are admitted: each that has a certificate is in the database.
  const during = ask(0, 3)
  await a.program.says(/host admitted/, 'stderr')
  await a.kill()
  const admitted = (await during).filter(outcome => outcome.startsWith('web-'))
  await a.start(['--data-listen', portOf(token)])
  const before = await show(a, id)
  assert.ok(before.token.used >= admitted.length)
  for (const machine of admitted) assert.ok(before.uses.some(use => use.machine === machine))

  const outcomes = await ask(10, 12)
  const more = outcomes.filter(outcome => outcome.startsWith('web-'))
  assert.equal(more.length, 5 - before.token.used)
  for (const outcome of outcomes.filter(one => !more.includes(one))) {
    assert.match(outcome, /TOKEN_REFUSED: the token was already used 5 times, which is all of its uses/)
  }
  const after = await show(a, id)
  assert.deepEqual([after.token.state, after.token.used], ['used', 5])
  assert.equal(new Set(after.uses.map(({ peerId }) => peerId)).size, 5)
  for (const { remote } of after.uses) assert.equal(remote, '127.0.0.1')
})

/** The address of the authority in a token, so that it is found there again. */
function portOf(token: string): string {
  const text = Buffer.from(token.slice('warren1.'.length), 'base64url').toString('latin1')
  return /127\.0\.0\.1:\d+/.exec(text)?.[0] ?? ''
}

test('a token for a pattern takes no name that another host has, and gives its own back to a host that asks again', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token } = await make(a, '--name', 'web-*', '--uses', '9')
  const keys = newKeys()
  assert.equal(await outcomeOf(askToJoin(token, 'web-1', keys)), 'web-1')
  assert.equal(await outcomeOf(askToJoin(token, 'web-1', keys)), 'web-1')
  assert.match(
    await outcomeOf(askToJoin(token, 'web-1')),
    /another web-1: a host of this name joined at .*, and was not evicted/
  )
  assert.match(await outcomeOf(askToJoin(token, 'web-2', keys)), /has admitted this host as web-1 already/)
  assert.match(await outcomeOf(askToJoin(token, 'db-1')), /is for machines named web-\*, not db-1/)
  assert.match(await outcomeOf(askToJoin(token, 'web-')), /is for machines named web-\*, not web-/)
  const all = await make(a, '--name', '*')
  assert.match(await outcomeOf(askToJoin(all.token, 'a')), /the name of the authority/)
  // After its eviction the name is free, for a token that was made later.
  await a.cli('evict', 'web-1', '--force')
  assert.match(await outcomeOf(askToJoin(token, 'web-1')), /older than the eviction of web-1/)
  assert.equal(await outcomeOf(askToJoin((await make(a, '--name', 'web-*')).token, 'web-1')), 'web-1')
})

test('a revoked token admits nobody from then on, also after a restart, and the hosts that it admitted stay', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token, id } = await make(a, '--name', 'web-*', '--uses', '9')
  const b = await new TestAgent(scope, { name: 'web-1', args: [] }).start(['--join', token])
  await a.cli('token', 'revoke', id.slice(0, 8))
  assert.match(await outcomeOf(askToJoin(token, 'web-2')), /TOKEN_REFUSED: the token was revoked at/)
  await a.kill()
  await a.start(['--data-listen', portOf(token)])
  assert.match(await outcomeOf(askToJoin(token, 'web-2')), /TOKEN_REFUSED: the token was revoked at/)
  assert.equal((await show(a, id)).token.state, 'revoked')
  await b.sees(1)
})

test('a stolen token is of no use from an address that it does not name', asRoot, async t => {
  const scope = scopeOf(t)
  const [one, two] = await createHosts(scope, 'a', 'b')
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', '--no-mdns'], host: one }).start()
  const from = async (network: string, name: string): Promise<TestAgent> => {
    const { token } = await make(a, '--name', 'web-*', '--from', network)
    return new TestAgent(scope, { name, args: ['--join', token, '--no-mdns'], host: two })
  }
  const thief = await from('10.77.0.128/25', 'web-1')
  await assert.rejects(thief.start(), (err: Error) =>
    /the token does not admit a host at 10\.77\.0\.2/.test(err.stack ?? err.message)
  )
  await (await (await from('10.77.0.2/32', 'web-2')).start()).sees(1)
})

test('an ephemeral host leaves when it ends, its name is free at once, and nothing of it stays on its disk', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token } = await make(a, '--name', 'ci-*', '--uses', '9', '--ephemeral')
  const b = await new TestAgent(scope, { name: 'ci-1', args: ['--join', token] }).start()
  await b.sees(1)
  assert.match(await outcomeOf(askToJoin(token, 'ci-1')), /another ci-1: a host of this name is a member/)
  await b.stop()
  await gone(a, 'ci-1')
  for (const name of ['node.pem', 'node.key', 'peer.key', 'warren.db'])
    assert.equal(existsSync(join(b.stateDir, name)), false)
  const next = await new TestAgent(scope, { name: 'ci-1', args: ['--join', token] }).start()
  await next.sees(1)
  // The same command in the same place joins again, as another host.
  await next.stop()
  await next.start()
  await next.sees(1)
})

test('an ephemeral host that crashes loses its name with its lease, and not before', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token } = await make(a, '--name', 'ci-*', '--uses', '9', '--ephemeral')
  const b = await new TestAgent(scope, { name: 'ci-1', args: ['--join', token] }).start()
  await b.sees(1)
  await b.kill()
  assert.match(await outcomeOf(askToJoin(token, 'ci-1')), /another ci-1/)
  await gone(a, 'ci-1')
  const next = await new TestAgent(scope, { name: 'ci-1', args: ['--join', token] }).start()
  await next.sees(1)
  // The host that crashed comes back with its disk: it is not the host of this name any more.
  void b.start().catch(() => {})
  await waitFor(() => /another host holds the name ci-1 now/.test(b.program.stderr), 'the refusal')
  assert.equal((await a.cli('members')).match(/ci-1/g)?.length, 1)
})

test('a host that needs approval waits outside, over restarts of either side, until it is admitted or refused', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token, id } = await make(a, '--name', 'web-*', '--uses', '2', '--needs-approval', '--ttl', '30s')
  const b = new TestAgent(scope, { name: 'web-1', args: ['--join', token] })
  const waits = async (): Promise<void> => {
    await b.program.says(/this host waits until an admin admits it; on a: warren admit web-1/, 'stderr')
  }
  const starting = b.start().catch(() => undefined)
  await waits()
  assert.equal((await show(a, id)).token.used, 0)
  assert.match(await a.cli('admit', '--list'), /web-1 .*127\.0\.0\.1 +token/)
  assert.match(await a.cli('token', 'list'), /0\/2 \+1 wait/)
  assert.doesNotMatch(await a.cli('members'), /web-1/)
  await b.kill()
  await starting
  await a.kill()
  await a.start(['--data-listen', portOf(token)])
  const again = b.start()
  await waits()
  assert.match((await a.attempt(['admit', 'web-9'])).stderr, /NOT_FOUND/)
  await a.cli('admit', 'web-1')
  await again
  await b.sees(1)
  assert.equal(await a.cli('admit', '--list').then(text => /web-1/.test(text)), false)

  const keys = newKeys()
  const refused = outcomeOf(askToJoin(token, 'web-2', keys))
  await waitFor(async () => (await a.attempt(['admit', 'web-2', '--refuse'])).code === 0, 'web-2 to wait')
  assert.match(await refused, /TOKEN_REFUSED: .*an admin has refused this host/)
  assert.match(await outcomeOf(askToJoin(token, 'web-2', keys)), /an admin has refused this host/)
})

test('no more hosts wait than a token has uses, and one name waits once', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token } = await make(a, '--name', 'web-*', '--uses', '2', '--needs-approval')
  const over = new AbortController()
  t.after(() => over.abort())
  const wait = async (name: string): Promise<void> => {
    const waiting = Promise.withResolvers<void>()
    void askToJoin(token, name, { signal: over.signal, onWaiting: () => waiting.resolve() }).catch(() => {})
    await waiting.promise
  }
  await wait('web-1')
  assert.match(await outcomeOf(askToJoin(token, 'web-1')), /another host of this name waits/)
  await wait('web-2')
  assert.match(await outcomeOf(askToJoin(token, 'web-3')), /LIMIT_EXCEEDED: too many hosts wait/)
})

test('neither the log nor the database of an authority has the secret of a token', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const { token } = await make(a, '--name', 'web-*', '--uses', '2')
  await outcomeOf(askToJoin(token, 'web-1'))
  await outcomeOf(askToJoin(token, 'db-1'))
  await a.stop()
  const secret = Buffer.from(parseJoinToken(token, 0).secret)
  const forms = [token, ...(['latin1', 'hex', 'base64', 'base64url'] as const).map(form => secret.toString(form))]
  for (const text of [a.program.stderr, readFileSync(join(a.stateDir, 'warren.db')).toString('latin1')]) {
    for (const form of forms) assert.equal(text.includes(form.slice(-30)), false)
  }
})
