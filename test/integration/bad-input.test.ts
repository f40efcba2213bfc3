import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { localCall, scopeOf, TestAgent, warren } from '../harness/index.ts'

const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
const agent = new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] })
before(async () => {
  await agent.start()
})

type Case = readonly [args: readonly string[], code: 1 | 2, says: RegExp]

const CASES: readonly Case[] = [
  [['frobnicate'], 2, /unknown command/],
  [['status', '--frobnicate'], 2, /unknown option/],
  [['connect'], 2, /missing required argument/],
  [['connect', 'dev.web'], 2, /INVALID_ARGUMENT.*2 components/],
  [['connect', 'dev.web.no such.default'], 2, /INVALID_ARGUMENT/],
  [['connect', 'dev.web.nobody.default'], 1, /DESTINATION_NOT_FOUND/],
  [['connect', 'dev.web.site.default', '--as', 'dev'], 2, /INVALID_ARGUMENT/],
  [['connect', 'dev.web.site.default', '--as', 'dev.a.b.c.elsewhere'], 2, /INVALID_ARGUMENT.*elsewhere/],
  [['serve', 'dev.web.site'], 2, /INVALID_ARGUMENT.*3 components/],
  [['serve', 'warren.web.site.default'], 2, /INVALID_ARGUMENT.*reserved/],
  [['serve', 'dev.web.site.default', '--allow', 'dev.*'], 2, /INVALID_ARGUMENT/],
  [['expose', 'dev.web.site.default'], 2, /nothing to expose/],
  [['expose', 'dev.web.site.default', '--tcp', 'nonsense'], 2, /--tcp/],
  [['expose', 'dev.web.site.default', '--tcp', '127.0.0.1:99999'], 2, /--tcp/],
  [['forward', 'dev.web.site.default'], 2, /--listen/],
  [['forward', 'dev.web.site.default', '--listen', 'nonsense'], 2, /--listen/],
  [['register', 'a.b.c'], 2, /INVALID_ARGUMENT/],
  [['register', 'dev.a.b.c', '--ttl', 'soon'], 2, /--ttl/],
  [['deregister', 'no-such-token'], 1, /TIMEOUT|NOT_FOUND|INVALID_SOURCE/],
  [['services', 'dev.we*.x.y'], 2, /INVALID_ARGUMENT/],
  [['allow', 'dev.*.*', 'dev.web.site.default'], 2, /INVALID_ARGUMENT/],
  [['allow', 'dev.*.*.*', 'dev.{web.site.default'], 2, /INVALID_ARGUMENT/],
  [['allow', 'dev.*.*.*', 'dev.*.*.*', '--until', 'yesterday'], 2, /--until/],
  [['policy', 'remove', 'no-such-rule'], 1, /NOT_FOUND/],
  [['explain', 'dev.a.b.c', 'nonsense'], 2, /INVALID_ARGUMENT/],
  [['token', 'create', 'no.dots'], 2, /INVALID_ARGUMENT.*machine name/],
  [['token', 'create', 'b', '--ttl', '-1s'], 2, /--ttl/]
]

function isOneClearLine(stderr: string): void {
  // The second line, indented, is what to do about it.
  const lines = stderr.trimEnd().split('\n')
  assert.ok(lines.length <= 2, stderr)
  assert.match(lines[0] ?? '', /^warren: /)
  if (lines[1] !== undefined) assert.match(lines[1], /^ {2}\S/)
  assert.doesNotMatch(stderr, /INTERNAL|^\s+at /m)
}

for (const [args, code, says] of CASES) {
  test(`warren ${args.join(' ')}`, async () => {
    const outcome = await agent.attempt(args)
    assert.match(outcome.stderr, says)
    assert.equal(outcome.code, code, outcome.stderr)
    assert.equal(outcome.stdout, '')
    isOneClearLine(outcome.stderr)
  })
}

test('without an agent every command says so, and how to start one', async t => {
  const nowhere = scopeOf(t).directory()
  const commands = [
    ['status'],
    ['members'],
    ['services'],
    ['connect', 'dev.a.b.c'],
    ['serve', 'dev.a.b.c', '--no-wait'],
    ['policy', 'show']
  ]
  for (const args of commands) {
    const { code, stderr } = await warren(scopeOf(t), args, {}, nowhere).outcome()
    assert.equal(code, 1)
    assert.match(stderr, /AGENT_NOT_RUNNING/)
    assert.match(stderr, /warren up/)
    isOneClearLine(stderr)
  }
})

/** The end of a `warren up` that must fail. */
async function upFails(
  t: Parameters<typeof scopeOf>[0],
  ...args: string[]
): Promise<{ code: number | null; stderr: string }> {
  const own = scopeOf(t)
  const base = own.directory()
  const dirs = ['--state-dir', join(base, 's'), '--runtime-dir', join(base, 'r'), '--no-mdns', '--log-level', 'silent']
  const ports = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0']
  const outcome = await warren(own, ['up', ...dirs, ...ports, ...args]).outcome()
  isOneClearLine(outcome.stderr)
  return outcome
}

test('up says which port is in use', async t => {
  const squatter = createServer()
  await new Promise<void>(resolve => squatter.listen(0, '127.0.0.1', resolve))
  t.after(() => squatter.close())
  const { port } = squatter.address() as { port: number }
  for (const option of ['--listen', '--data-listen']) {
    const { code, stderr } = await upFails(t, '--init', 'example.org', '--name', 'x', option, `127.0.0.1:${port}`)
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`PORT_IN_USE.*${port}`))
    assert.match(stderr, new RegExp(option))
  }
})

test('up refuses a token that is damaged, used, expired or no token at all, each in its own words', async t => {
  const token = await agent.token('b')
  const middle = Math.floor(token.length / 2)
  const flipped = token[middle] === 'A' ? 'B' : 'A'
  const damaged = token.slice(0, middle) + flipped + token.slice(middle + 1)
  for (const [text, says] of [
    ['hello', /TOKEN_REFUSED/],
    [damaged, /TOKEN_REFUSED.*(damaged|copy)/],
    [token.slice(0, -5), /TOKEN_REFUSED/]
  ] as const) {
    const { code, stderr } = await upFails(t, '--join', text)
    assert.notEqual(code, 0)
    assert.match(stderr, says)
  }

  const b = new TestAgent(scopeOf(t), { name: 'b', args: ['--join', token] })
  await b.start()
  const used = await upFails(t, '--join', token)
  assert.equal(used.code, 1)
  assert.match(used.stderr, /TOKEN_REFUSED.*used/)

  const short = (await agent.cli('token', 'create', 'c', '--ttl', '1s')).trim()
  await new Promise(resolve => setTimeout(resolve, 1_100))
  const expired = await upFails(t, '--join', short)
  assert.equal(expired.code, 1)
  assert.match(expired.stderr, /TOKEN_REFUSED.*expired/)
})

test('up refuses what cannot be: two origins, no origin, a bad name, a second agent on one state directory', async t => {
  assert.equal((await upFails(t, '--init', 'example.org', '--join', 'x')).code, 2)
  const bare = await upFails(t)
  assert.notEqual(bare.code, 0)
  assert.match(bare.stderr, /NOT_INITIALIZED/)
  assert.equal((await upFails(t, '--init', 'Not A Domain')).code, 2)
  assert.equal((await upFails(t, '--init', 'example.org', '--name', 'a.b')).code, 2)
  const second = await upFails(t, '--state-dir', agent.stateDir)
  assert.equal(second.code, 1)
  assert.match(second.stderr, /STATE_UNUSABLE.*another agent/)
})

test('up refuses hosts to advertise that can be none, before it touches anything', async t => {
  for (const [text, says] of [
    ['192.0.2.7:7460', /INVALID_ARGUMENT.*has a port[\s\S]*--data-listen/],
    ['two words', /INVALID_ARGUMENT.*is not a host/],
    ['', /INVALID_ARGUMENT: --advertise is empty/],
    ['fe80::1%eth0', /INVALID_ARGUMENT.*has a zone\n.*not link-local/],
    ['0.0.0.0', /INVALID_ARGUMENT.*is not an address of a host/]
  ] as const) {
    const { code, stderr } = await upFails(t, '--init', 'example.org', '--name', 'x', '--advertise', text)
    assert.equal(code, 2, stderr)
    assert.match(stderr, says)
  }
  const many = Array.from({ length: 17 }, (_, at) => ['--advertise', `192.0.2.${at + 1}`]).flat()
  const { code, stderr } = await upFails(t, '--init', 'example.org', '--name', 'x', ...many)
  assert.equal(code, 2, stderr)
  assert.match(stderr, /INVALID_ARGUMENT.*given 17 times/)
})

test('the API answers bad calls with a code and a sentence', async () => {
  const calls: ReadonlyArray<readonly [string, object, RegExp]> = [
    ['Register', { address: 'dev.web' }, /INVALID_ARGUMENT/],
    ['Register', { address: 'dev.a.b.c', whitelist: ['nonsense'] }, /INVALID_ARGUMENT/],
    ['Register', { address: 'dev.a.b.c', noSuchField: 1 }, /noSuchField/],
    ['Connect', { token: 'nonsense', destination: 'dev.a.b.c' }, /TIMEOUT|INVALID_SOURCE/],
    ['Heartbeat', { token: '' }, /TIMEOUT|INVALID_SOURCE|INVALID_ARGUMENT/],
    ['ListServices', { pattern: 'a..b' }, /INVALID_ARGUMENT/]
  ]
  for (const [method, body, says] of calls) {
    const reply = await localCall(agent.socket, `WorkloadService/${method}`, body)
    assert.ok(reply.status >= 400, `${method} answered ${reply.status}`)
    assert.match(JSON.stringify(reply.body), says)
  }
  assert.equal((await agent.status()).state, 'ready')
})
