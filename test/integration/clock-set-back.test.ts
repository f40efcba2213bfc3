import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { CLOCK_SETTING, DATABASE, openDatabase, Store } from '../../src/state/index.ts'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

const HOUR = 3_600_000

/** Calls `work` with the database of a stopped agent. */
function withStore<T>({ stateDir }: TestAgent, work: (store: Store) => T): T {
  const store = new Store(openDatabase(join(stateDir, DATABASE)))
  try {
    return work(store)
  } finally {
    store.close()
  }
}

const markOf = (store: Store): number => Number(Buffer.from(store.setting(CLOCK_SETTING) ?? []).toString())

const register = async (agent: TestAgent, address: string): Promise<string> =>
  await agent.cli('register', address, '--tcp', '127.0.0.1:9', '--health-check', 'off', '--pid', String(process.pid))

const ADDRESSES = ['dev.a.x.default', 'prod.web.y.default']
const EXPLAIN = ['explain', ...ADDRESSES]

test('a rule that has ended is on disk as ended at once, also over a kill', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  const untilMs = Date.now() + 2_000
  await a.cli('allow', 'dev.*.*.*', 'prod.*.*.*', '--until', new Date(untilMs).toISOString())
  for (const address of ADDRESSES) await register(a, address)
  await waitFor(async () => /no allow rule/.test((await a.attempt(EXPLAIN)).stdout), 'the rule to end')
  await a.kill()
  assert.ok(withStore(a, markOf) >= untilMs)
})

test('a clock that was set back over a restart revives no rule, and status and log say so until the operator accepts it', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] }).start()
  await a.cli('allow', 'dev.*.*.*', 'prod.*.*.*', '--until', '1h')
  for (const address of ADDRESSES) await register(a, address)
  assert.match((await a.attempt(EXPLAIN)).stdout, /rule r\d+: allow/)
  assert.doesNotMatch(await a.cli('status'), /ALARM/)
  await a.stop()
  // As if it had run for two hours before the clock was set back by as much.
  withStore(a, store => {
    assert.ok(Math.abs(markOf(store) - Date.now()) < 60_000)
    store.setSetting(CLOCK_SETTING, Buffer.from(String(Date.now() + 2 * HOUR)))
  })

  await a.start([])
  assert.match(await a.cli('status'), /ALARM +the clock of this host was set back, by \S+.*what has ended stays ended/)
  assert.match(a.program.stderr, /clock alarm: the clock of this host was set back/)
  for (const address of ADDRESSES) await register(a, address)
  assert.match((await a.attempt(EXPLAIN)).stdout, /no allow rule names both/)
  await a.stop()
  assert.ok(withStore(a, markOf) >= Date.now() + HOUR, 'a restart does not lower the mark')

  await a.start([])
  await a.cli('clock', 'accept')
  assert.doesNotMatch(await a.cli('status'), /ALARM/)
  for (const address of ADDRESSES) await register(a, address)
  assert.match((await a.attempt(EXPLAIN)).stdout, /rule r\d+: allow/)
  await a.stop()
  assert.ok(withStore(a, markOf) < Date.now() + 60_000)
})

test('a host admits no certificate that ended by the latest time it has seen, and is well again once the operator accepts its clock', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  await b.stop()
  const mesh = (await a.status()).meshAddresses[0] ?? ''
  withStore(b, store => store.setSetting(CLOCK_SETTING, Buffer.from(String(Date.now() + 20 * 365 * 24 * HOUR))))

  await b.start(['--bootstrap', mesh])
  assert.match(await b.cli('status'), /ALARM +the clock of this host was set back/)
  await waitFor(() => /"reason":"expired: .*"msg":"host not admitted"/.test(b.program.stderr), 'b to refuse a')
  assert.equal((await b.status()).connected ?? 0, 0)
  await b.cli('clock', 'accept')
  await Promise.all([a.sees(1), b.sees(1)])
  assert.equal((await b.status()).state, 'ready')
  await register(a, 'dev.a.x.default')
  await b.knows('dev.a.x.default')
})
