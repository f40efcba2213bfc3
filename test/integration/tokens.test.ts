import assert from 'node:assert/strict'
import test from 'node:test'
import { dialAgent } from '../../src/ca/membership/dial.ts'
import { WarrenError } from '../../src/core/index.ts'
import {
  join as ask,
  encodeJoinToken,
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type JoinToken,
  parseJoinToken
} from '../../src/identity/index.ts'
import { asRoot, createHosts, type Outcome, type Scope, scopeOf, TestAgent, warren } from '../harness/index.ts'

interface Token {
  readonly id: string
  readonly machine: string
  readonly state: string
}

async function found(scope: Scope, name = 'a'): Promise<TestAgent> {
  return await new TestAgent(scope, { name, args: [] }).start(['--init', 'example.org'])
}

/** How `warren up --join TOKEN` on a host that is no member ends. */
async function join(scope: Scope, token: string): Promise<Outcome> {
  const [stateDir, runtimeDir] = [scope.directory(), scope.directory()]
  const places = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--no-mdns']
  const args = ['up', '--join', token, '--state-dir', stateDir, '--runtime-dir', runtimeDir, ...places]
  return await warren(scope, args).outcome()
}

const tokens = async (agent: TestAgent): Promise<readonly Token[]> =>
  (JSON.parse(await agent.cli('token', 'list', '--json')) as { tokens: Token[] }).tokens

test('each token that admits nobody is refused in words of its own, and the list says the same', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const make = async (machine: string, ...options: string[]): Promise<{ token: string; id: string }> =>
    JSON.parse(await a.cli('token', 'create', machine, ...options, '--json'))

  const used = await make('b')
  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--join', used.token])
  const revoked = await make('c')
  await a.cli('token', 'revoke', revoked.id.slice(0, 8))
  const expired = await make('d', '--ttl', '1s')
  const open = await make('e')
  const altered = (change: Partial<JoinToken>): string =>
    encodeJoinToken({ ...parseJoinToken(open.token, Date.now()), ...change })
  const other = await found(scope, 'x')
  const foreign = parseJoinToken((await other.cli('token', 'create', 'e')).trim(), Date.now())
  const { authorityAddresses } = parseJoinToken(open.token, Date.now())

  for (const [what, token, reason] of [
    ['used', used.token, /TOKEN_REFUSED: the token was already used/],
    ['revoked', revoked.token, /TOKEN_REFUSED: the token was revoked at/],
    ['expired', expired.token, /TOKEN_REFUSED: the join token expired at/],
    ['damaged', open.token.slice(0, -3), /TOKEN_REFUSED: the join token is damaged/],
    ['with another secret', altered({ secret: new Uint8Array(32) }), /TOKEN_REFUSED: the token was altered/],
    ['with another machine', altered({ machine: 'f' }), /TOKEN_REFUSED: the token is for machine e, not f/],
    ['with another scope', altered({ scopes: ['prod'] }), /TOKEN_REFUSED: the token is for other scopes/],
    ['unknown', altered({ id: '0'.repeat(32) }), /TOKEN_REFUSED: this authority did not make the token/],
    [
      'foreign',
      encodeJoinToken({ ...foreign, authorityAddresses }),
      /JOIN_FAILED: .*another trust domain than the token/
    ]
  ] as const) {
    if (what === 'expired') await new Promise(resolve => setTimeout(resolve, 1_100))
    const { code, stderr } = await join(scope, token)
    assert.equal(code, 1, what)
    assert.match(stderr, reason, what)
  }

  const states = Object.fromEntries((await tokens(a)).map(({ machine, state }) => [machine, state]))
  assert.deepEqual(states, { b: 'used', c: 'revoked', d: 'expired', e: 'open' })
  assert.match(await a.cli('token', 'list'), /b +used/)
  assert.match((await a.attempt(['token', 'revoke', used.id])).stderr, /b has joined with this token already/)
  assert.match((await a.attempt(['token', 'revoke', 'ffff'])).stderr, /NOT_FOUND/)
})

test('an open token of a machine ends when the machine is evicted', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const token = (await a.cli('token', 'create', 'b')).trim()
  await a.cli('evict', 'b', '--force')
  assert.match((await join(scope, token)).stderr, /TOKEN_REFUSED: the token was revoked/)
  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--join', (await a.cli('token', 'create', 'b')).trim()])
  await b.sees(1)
})

test('who is refused again and again is put off, and a good token from the same address is not', async t => {
  const scope = scopeOf(t)
  const a = await found(scope)
  const token = parseJoinToken((await a.cli('token', 'create', 'b')).trim(), Date.now())
  const wrong = encodeJoinToken({ ...token, secret: new Uint8Array(32) })
  const attempt = async (): Promise<string> => {
    const keys = { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
    const connect = (address: string, signal: AbortSignal) => dialAgent(address, JOIN_ALPN, signal)
    const { signal } = new AbortController()
    const options = { token: parseJoinToken(wrong, Date.now()), ...keys, connect, nowMs: Date.now, signal }
    return await ask(options).then(
      () => 'admitted',
      (err: unknown) => WarrenError.from(err).code
    )
  }
  // In this process: while a process starts on a busy machine, the authority forgets a refusal.
  const outcomes: string[] = []
  for (let round = 0; round < 16; round += 1) outcomes.push(await attempt())
  t.diagnostic(`${outcomes.filter(code => code === 'TOKEN_REFUSED').length} of 16 were looked at`)
  assert.ok(outcomes.includes('LIMIT_EXCEEDED'))
  assert.deepEqual(new Set(outcomes), new Set(['TOKEN_REFUSED', 'LIMIT_EXCEEDED']))
  const b = new TestAgent(scope, { name: 'b', args: [] })
  await b.start(['--join', encodeJoinToken(token)])
})

test('a host that no other can reach says so in its log and status, and when it gives out a token', asRoot, async t => {
  const scope = scopeOf(t)
  const [host] = await createHosts(scope, 'a', 'b')
  host.run('ip', 'addr', 'flush', 'dev', 'eth0')
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org', '--no-mdns'], host }).start()
  await a.program.says(/no other host can reach this one/, 'stderr')
  assert.match(await a.cli('status'), /reachable +by no other host: .*--advertise/)
  const { code, stdout, stderr } = await a.attempt(['token', 'create', 'b'])
  assert.deepEqual([code, /^warren1\./.test(stdout)], [0, true])
  assert.match(stderr, /warning: no other host can use the token.*--advertise/)
  host.run('ip', 'addr', 'add', `${host.ip}/24`, 'dev', 'eth0')
  await a.program.says(/addresses that other hosts can reach are announced/, 'stderr')
  assert.doesNotMatch(await a.cli('status'), /reachable/)
  assert.doesNotMatch((await a.attempt(['token', 'create', 'b'])).stderr, /warning/)
})
