import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'
import test from 'node:test'
import { asRoot, at, Program, scopeOf, TestAgent, warren } from '../harness/index.ts'

const OWNER = 61_236
const OTHER = 61_237

interface PeerChain {
  readonly registrations: ReadonlyArray<{
    readonly registrationId: string
    readonly address: string
    readonly canonical: string
    readonly hashMatches: boolean
    readonly document: { readonly pid: number; readonly uid: number; readonly whitelist: readonly string[] }
  }>
}

async function registered(agent: TestAgent, pid: number, ...args: string[]) {
  const text = await agent.cli('register', 'dev.shop.cart.default', '--pid', String(pid), ...args)
  return JSON.parse(text) as { token: string; registrationId: string }
}

test('the owner of a registration sees the document that its id is the hash of', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const holder = new Program(scope, ['sleep', '600'])
  const first = await registered(agent, holder.pid, '--allow', 'dev.web.*.*', '--application', 'the "cart"')
  const second = await registered(agent, holder.pid)

  const all = JSON.parse(await agent.cli('inspect', '--json')) as PeerChain
  assert.deepEqual(
    all.registrations.map(({ registrationId }) => registrationId),
    [first.registrationId, second.registrationId]
  )
  for (const shown of all.registrations) {
    assert.equal(createHash('sha256').update(shown.canonical).digest('hex'), shown.registrationId)
    assert.equal(shown.hashMatches, true)
    assert.deepEqual([shown.document.pid, shown.document.uid], [holder.pid, process.getuid?.()])
  }
  assert.deepEqual(all.registrations[0]?.document.whitelist, ['dev.web.*.*'])

  const chosen = await agent.cli('inspect', first.registrationId.slice(0, 12), second.token)
  assert.match(chosen, /^application +the "cart"$/m)
  assert.match(chosen, new RegExp(`^id +${first.registrationId}$[\\s\\S]*^id +${second.registrationId}$`, 'm'))
  assert.equal(chosen.match(/^SHA-256 +of the above is the id$/gm)?.length, 2)

  for (const [asked, answer] of [
    ['f'.repeat(64), /NOT_FOUND: no registration of yours/],
    ['nonsense', /INVALID_SOURCE: no registered workload of yours has this token/]
  ] as const) {
    const { code, stderr } = await agent.attempt(['inspect', asked])
    assert.deepEqual([code, answer.test(stderr)], [1, true], stderr)
  }
  await holder.kill()
})

test('nobody but the owner sees an identity document, be it root', asRoot, async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'], uid: OWNER }).start()
  chmodSync(dirname(agent.runtimeDir), 0o755)
  const holder = new Program(scope, at({ uid: OWNER }, ['sleep', '600']))
  const { registrationId, token } = await registered(agent, holder.pid)
  assert.match(await agent.cli('inspect', registrationId), /^uid +61236$/m)
  for (const uid of [OTHER, 0]) {
    const as = (...args: string[]) => warren(scope, ['inspect', ...args], { uid }, agent.runtimeDir).outcome()
    const none = await as()
    assert.deepEqual([none.code, none.stdout.trim()], [0, ''], none.stderr)
    assert.match((await as(registrationId)).stderr, /NOT_FOUND/)
    assert.match((await as(token)).stderr, /INVALID_SOURCE/)
  }
})
