import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import {
  asRoot,
  certificatesIn,
  createHosts,
  type Outcome,
  scopeOf,
  settled,
  startPair,
  TestAgent,
  waitFor
} from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

interface Member {
  readonly machine: string
  readonly state: string
}

async function members(agent: TestAgent): Promise<readonly Member[]> {
  return (JSON.parse(await agent.cli('members', '--json')) as { members: Member[] }).members
}

/** When an agent logged the first line that holds all of `texts`, wall milliseconds. */
async function loggedAt(agent: TestAgent, ...texts: string[]): Promise<number> {
  const line = await waitFor(
    () => agent.program.stderr.split('\n').find(candidate => texts.every(text => candidate.includes(text))),
    `${agent.name} to log ${texts.join()}`
  )
  return Date.parse((JSON.parse(line) as { time: string }).time)
}

/** Waits until `agent` is neither connected to `machine` nor knows records of it; tells how long that took. */
async function rid(agent: TestAgent, machine: string, sinceMs: number): Promise<number> {
  await waitFor(
    async () => !(await members(agent)).some(member => member.machine === machine),
    `${machine} to leave ${agent.name}`
  )
  return Math.round(performance.now() - sinceMs)
}

test(
  'an evicted host loses its flows and connections, on every host; no restart forgets it; a new token lets it in again',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, 'a', 'b', 'c', 'd')
    const a = new TestAgent(scope, { name: 'a', args: [], host: hosts[0] })
    await a.start(['--init', 'example.org'])
    const rest: TestAgent[] = []
    for (const host of hosts.slice(1)) {
      const agent = new TestAgent(scope, { name: host.name, args: [], host })
      rest.push(await agent.start(['--join', await a.token(host.name)]))
    }
    const [b, c, d] = rest
    assert.ok(b !== undefined && c !== undefined && d !== undefined)
    await Promise.all([a, b, c, d].map(agent => agent.sees(3)))
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    const serve = c.spawn(['serve', SITE])
    await serve.says(/serving/, 'stderr')
    await b.knows(SITE)
    await Promise.all([b, c, d].map(agent => agent.follows(a)))
    const client = b.spawn(['connect', SITE, '--as', SHOP])
    await client.says(/connected/, 'stderr')
    client.stdin.write('before\n')
    await serve.says(/before/)

    // d is away when it happens.
    await d.stop()
    const since = performance.now()
    await a.cli('evict', 'b', '--reason', 'stolen')
    const issued = performance.now()
    const cut: Outcome = await settled(client.outcome(), 'the cut of the live flow', 5_000)
    t.diagnostic(
      `evict command: ${Math.round(issued - since)} ms; flow cut ${Math.round(performance.now() - issued)} ms after it`
    )
    assert.equal(cut.code, 1)
    await serve.says(/cut|ended|closed|truncated/i, 'stderr')
    // The survivor knows why, and its log tells.
    await loggedAt(c, 'no longer trusted: b was evicted at', 'stolen')
    const took = await Promise.all([rid(a, 'b', issued), rid(c, 'b', issued)])
    t.diagnostic(`off a and c ${took.join(' and ')} ms after the command, with the start of the command that asks`)

    const { peerId } = await b.status()
    const decided = await loggedAt(a, '"policy changed"', '"policyVersion":"2"')
    for (const agent of [a, c]) {
      const heard = await loggedAt(agent, '"policy changed"', '"policyVersion":"2"')
      const closed = await loggedAt(agent, '"host disconnected"', peerId)
      t.diagnostic(`${agent.name}: policy after ${heard - decided} ms, connection closed after ${closed - decided} ms`)
    }

    // The evicted host hears of it, says so, and serves nobody.
    await waitFor(async () => (await b.status()).state === 'evicted', 'b to know')
    await b.program.says(/this host was evicted/, 'stderr')
    assert.match(await b.cli('status'), /evicted: b was evicted at .*stolen/)
    const refused = await b.attempt(['register', 'dev.own.own.default'])
    assert.match(refused.stderr, /REVOKED: b was evicted/)

    // c forgets nothing over a restart, and d learns it before it serves: its first answer is after its ready state.
    await c.stop()
    await c.start([])
    await d.start([])
    for (const agent of [c, d]) {
      assert.match(await agent.cli('policy', 'show'), /host b .*stolen/)
      assert.deepEqual(
        (await members(agent)).filter(({ machine }) => machine === 'b'),
        []
      )
    }

    // Nor does the evicted host itself: refused by all, it says why.
    await b.stop()
    await b.start([])
    assert.equal((await b.status()).state, 'evicted')
    await c.sees(2)
    assert.deepEqual(
      (await members(c)).filter(({ machine }) => machine === 'b'),
      []
    )
    await b.stop()

    // A token from before does not help, a new one does: with the same name and other keys.
    rmSync(b.stateDir, { recursive: true })
    await b.start(['--join', await a.token('b')])
    await Promise.all([b.sees(3), a.sees(3), c.sees(3), d.sees(3)])
    const server = d.spawn(['serve', SITE])
    await server.says(/serving/, 'stderr')
    await b.knows(SITE)
    const again = b.spawn(['connect', SITE, '--as', SHOP])
    await again.says(/connected/, 'stderr')
  }
)

test('a host that was evicted while it was away is told so by who refuses it', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await b.stop()
  await a.cli('evict', 'b')
  await b.start([])
  await waitFor(async () => (await b.status()).state === 'evicted', 'b to be told')
  await b.program.says(/seems to be evicted: a says: b was evicted/, 'stderr')
  // It is no more than a word: undone, b is in again by itself.
  const { id } = (JSON.parse(await a.cli('policy', 'show', '--json')) as { revocations: [{ id: string }] })
    .revocations[0]
  await a.cli('unrevoke', id)
  await b.sees(1)
  await waitFor(async () => (await b.status()).state === 'ready', 'b to be ready')
})

test('a revoked pattern cuts its flows, ends its registrations and is registered no more until it is taken back', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')

  const since = performance.now()
  const id = (await a.cli('revoke', 'dev.shop.*.*', '--reason', 'leaked')).trim()
  const { code } = await settled(client.outcome(), 'the cut of the live flow', 5_000)
  t.diagnostic(`revoke to cut: ${Math.round(performance.now() - since)} ms, with the start of the command`)
  assert.equal(code, 1)
  await waitFor(async () => ((await b.status()).registrations ?? 0) === 0, 'the registration to end')
  const refused = await b.attempt(['register', SHOP])
  assert.match(refused.stderr, /REVOKED: dev\.shop\.cart\.default\.b is revoked .*leaked/)
  // Others are not concerned.
  assert.equal((await b.attempt(['register', 'dev.other.cart.default'])).code, 0)

  await a.cli('unrevoke', id)
  await b.follows(a)
  assert.equal((await b.attempt(['register', SHOP])).code, 0)
})

test('the host that signs the policy cannot put itself out, nor a host that it never saw', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const { peerId } = await a.status()
  const chain = certificatesIn(readFileSync(join(a.stateDir, 'node.pem'), 'utf8'))
  const keys = chain.map(({ publicKey }) =>
    createHash('sha256')
      .update(publicKey.export({ format: 'der', type: 'spki' }))
      .digest('hex')
  )
  assert.equal(keys.length, 3)
  for (const args of [['evict', 'a'], ['revoke', peerId], ...keys.map(key => ['revoke', `sha256:${key}`])]) {
    assert.match((await a.attempt(args)).stderr, /INVALID_ARGUMENT: this is the very host/)
  }
  assert.match((await a.attempt(['evict', 'nobody'])).stderr, /NOT_FOUND/)
  assert.match((await b.attempt(['evict', 'a'])).stderr, /NOT_ADMIN/)
})
