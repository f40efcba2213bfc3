import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type Scope, scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'

function fileIn(scope: Scope): (text: string) => string {
  const path = join(scope.directory(), 'policy.yaml')
  return text => {
    writeFileSync(path, text)
    return path
  }
}

async function json<T>(agent: TestAgent, ...args: string[]): Promise<T> {
  return JSON.parse(await agent.cli(...args, '--json')) as T
}

test('what a file says is one version, which every host has when apply --wait ends', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const file = fileIn(scope)
  await a.cli('allow', 'dev.old.*.*', 'dev.web.*.*')
  const path = file(
    `rules:\n  - allow: ${SHOP}\n    to: ${SITE}\n    owner: shop\n  - deny: dev.guest.*.*\n    to: dev.*.*.*\ninvariants:\n  - never: dev.guest.*.*\n    to: dev.web.*.*\n`
  )
  const applied = await json<{ version: number; missing: string[]; changes: Array<{ kind: string }> }>(
    a,
    ...['policy', 'apply', path, '--prune', '--wait']
  )
  assert.deepEqual([applied.version, applied.missing], [2, []])
  assert.deepEqual(applied.changes.map(({ kind }) => kind).sort(), ['add', 'add', 'add', 'remove'])
  const exported = await b.cli('policy', 'export')
  assert.equal(exported, await a.cli('policy', 'export'))
  assert.equal((await a.attempt(['policy', 'apply', file(exported), '--prune'])).stdout, '')
  assert.equal((await json<{ version: number }>(a, 'policy', 'show')).version, 2, 'the same again is no version')

  const refused = await a.attempt(['policy', 'remove', 'r2-2'])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /INVARIANT_BROKEN: never dev\.guest\.\*\.\* -> dev\.web\.\*\.\* does not hold: /)
  const onMember = await b.attempt(['policy', 'apply', file('rules: []\n'), '--prune'])
  assert.match(onMember.stderr, /NOT_ADMIN/)
})

test('a dry run lists the live flow that would be cut and cuts nothing, and says that other hosts were not asked', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  await a.cli('allow', SHOP, SITE)
  await b.follows(a)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  const dry = await a.attempt(['deny', 'dev.shop.*.*', SITE, '--dry-run'])
  assert.match(
    dry.stdout,
    /inbound +dev\.shop\.cart\.default\.b +dev\.web\.site\.default\.a .*no longer allowed: rule r2/
  )
  assert.match(dry.stderr, /nothing was changed; 1 flow of this host would be cut; other hosts were not asked/)
  const other = await a.attempt(['deny', 'dev.other.*.*', SITE, '--dry-run'])
  assert.equal(other.stdout, '')
  const path = fileIn(scope)('rules: []\n')
  const whole = await json<{ flows: unknown[]; otherHostsAsked: boolean }>(
    a,
    ...['policy', 'apply', path, '--prune', '--dry-run']
  )
  assert.deepEqual([whole.flows.length, whole.otherHostsAsked], [1, false])
  client.stdin.write('still there\n')
  await serve.says(/still there/)
  assert.equal((await json<{ version: number }>(a, 'policy', 'show')).version, 1)

  const unused = (): Promise<{ rules: Array<{ rule: { id: string }; why: string }> }> => json(a, 'policy', 'unused')
  assert.deepEqual((await unused()).rules, [])
  await a.cli('allow', SITE, SHOP)
  await a.cli('allow', 'dev.nobody.*.*', SITE)
  assert.deepEqual(
    (await unused()).rules.map(({ rule: { id }, why }) => `${id}: ${why}`),
    ['r2: no connection of this host used it', 'r3: nothing registered matches its source']
  )
})

test('an audit rule lets a flow pass, and both hosts record that it would be refused', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  await a.cli('allow', 'dev.shop.*.*', SITE, '--audit')
  await b.follows(a)
  const client = b.spawn(['connect', SITE, '--as', SHOP])
  await client.says(/connected/, 'stderr')
  client.stdin.write('let through\n')
  await serve.says(/let through/)
  for (const agent of [a, b]) {
    const { events } = await json<{ events: Array<{ fields: { rule: string; reason: string; source: string } }> }>(
      agent,
      ...['events', '--type', 'flow-audited']
    )
    assert.ok(events.length > 0)
    const { rule, reason, source } = events[0]!.fields
    assert.deepEqual([rule, source], ['r1', `${SHOP}.b`])
    assert.match(reason, /without it: no rule and no whitelist entry allows it/)
    const { samples } = await json<{ samples: Array<{ name: string; value: number }> }>(agent, 'metrics')
    assert.ok(samples.some(({ name, value }) => name === 'warren_flows_audited_total' && value > 0))
  }
  await a.cli('allow', 'dev.shop.*.*', SITE)
  await b.follows(a)
  await waitFor(async () => {
    const { flows } = await json<{ flows: unknown[] }>(a, 'flows')
    return flows.length === 1
  }, 'the flow, which the rule that replaced it allows')
})

test('what was refused or audited becomes the fewest rules, which allow it once they are applied, and nothing before', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--audit', 'on'] })
  await a.spawn(['serve', SITE]).says(/serving/, 'stderr')
  await b.knows(SITE)
  await a.cli('allow', 'dev.batch.*.*', 'dev.*.*.*', '--audit')
  await a.cli('deny', 'dev.guest.*.*', 'dev.*.*.*')
  await b.follows(a)
  const attempt = (as: string) => b.attempt(['connect', SITE, '--as', as])
  for (const as of [SHOP, 'dev.shop.pay.default', 'dev.guest.x.y']) {
    assert.match((await attempt(as)).stderr, /UNAUTHORIZED/)
  }
  await b.spawn(['connect', SITE, '--as', 'dev.batch.night.default']).says(/connected/, 'stderr')

  const before = await json<{ version: number }>(a, 'policy', 'show')
  const suggested = await b.attempt(['policy', 'suggest', '--since', '7d'])
  assert.deepEqual(
    suggested.stdout
      .trim()
      .split(/\n/)
      .map(line => line.replace(/ +#.*/, ''))
      .sort(),
    [
      `warren allow 'dev.shop.{cart,pay}.default' ${SITE} --tcp`,
      `warren allow dev.batch.night.default ${SITE} --tcp`
    ].sort()
  )
  assert.match(suggested.stderr, /no rule for dev\.guest\.x\.y -> .*: rule r2: deny/)
  assert.match(suggested.stderr, /events are remembered for a day; an audit log/)
  // The same from the log, which outlives the agent's memory.
  const log = join(b.stateDir, 'audit.log')
  await waitFor(async () => {
    const fromLog = await json<{ suggestions: unknown[] }>(b, 'policy', 'suggest', log)
    return fromLog.suggestions.length === 2
  }, 'the audit log to have the attempts')
  const path = fileIn(scope)(await b.cli('policy', 'suggest', '--yaml', log))
  assert.deepEqual(await json(a, 'policy', 'show'), before)

  await a.cli('policy', 'apply', path, '--wait')
  const { rules, strict } = await json<{ rules: unknown[]; strict: boolean }>(a, 'policy', 'show')
  assert.deepEqual([rules.length, strict], [4, false])
  await b.spawn(['connect', SITE, '--as', SHOP]).says(/connected/, 'stderr')
  const after = await b.attempt(['policy', 'suggest'])
  assert.equal(after.stdout, '')
  assert.match(after.stderr, /^warren: 0 rules for .*\n.* would be allowed by now$/m)

  // What the log has, decided again: the flow of the shop would have been refused, and the guest would be let in.
  const shop = ['deny', 'dev.shop.*.*', SITE, '--dry-run', '--since', '1d']
  const cut = await waitFor(async () => {
    const answer = await a.attempt([...shop, '--log', log])
    assert.match(answer.stdout, /WOULD HAVE BEEN REFUSED/)
    return answer
  }, 'the audit log to have the flow')
  assert.match(cut.stdout, /dev\.shop\.cart\.default\.b +dev\.web\.site\.default\.a +tcp +\d+ .*rule r\d+: deny/)
  assert.doesNotMatch(cut.stdout, /dev\.(guest|batch|shop\.pay)/)
  const open = fileIn(scope)(`rules:\n  - allow: dev.guest.*.*\n    to: ${SITE}\n`)
  const past = await json<{ past: Record<'refused' | 'allowed', Array<{ source: string }>> }>(
    a,
    ...['policy', 'apply', open, '--prune', '--dry-run', '--since', '1d', '--log', log]
  )
  const sources = (some: Array<{ source: string }>): string[] => [...new Set(some.map(({ source }) => source))].sort()
  assert.deepEqual(sources(past.past.allowed), ['dev.guest.x.y.b'])
  assert.deepEqual(sources(past.past.refused), ['dev.batch.night.default.b', 'dev.shop.cart.default.b'])
  for (const [args, text] of [
    [['--since', '1d'], /--since is for --dry-run/],
    [['--dry-run', '--log', log], /--log is for --since/],
    [['--dry-run', '--mesh', '--since', '1d'], /--since reads audit logs/],
    [['--dry-run', '--since', '1d', '--log', `${log}.none`], /there is no audit log/]
  ] as const) {
    assert.match((await a.attempt(['policy', 'apply', open, ...args])).stderr, text)
  }
})
