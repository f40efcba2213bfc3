import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

test('an operator reads what the agent counted, and a limit that was reached is there, in the log and in the error', async t => {
  const [a] = await startPair(scopeOf(t))
  const text = await a.cli('metrics')
  assert.match(text, /^warren_members\{state="connected"\} 1$/m)
  assert.match(text, /^warren_mesh_connections 1$/m)
  assert.match(text, /^warren_registry_sync_sessions_total\{result="ok"\} [1-9]/m)
  assert.match(text, /^warren_process_resident_memory_bytes [1-9]\d{7}/m)
  // A name of another exporter is left out by the node exporter, with an error, where it reads this text from a file.
  assert.deepEqual(
    text.split('\n').filter(line => line !== '' && !/^(# (HELP|TYPE) )?warren_/.test(line)),
    []
  )
  assert.match(text, /^warren_limit_hits_total\{limit="registration_whitelist"\} 0$/m)

  const whitelist = Array.from({ length: 65 }, (_, at) => ['--allow', `dev.n${at}.*.*`]).flat()
  const refused = await a.attempt(['register', 'dev.web.site.default', ...whitelist])
  assert.match(refused.stderr, /INVALID_ARGUMENT.*64 whitelist entries/)
  const { samples } = JSON.parse(await a.cli('metrics', '--json')) as {
    samples: ReadonlyArray<{ name: string; labels: { limit?: string }; value: number }>
  }
  const reached = samples.filter(({ name, value }) => name === 'warren_limit_hits_total' && value > 0)
  assert.deepEqual(
    reached.map(({ labels, value }) => [labels.limit, value]),
    [['registration_whitelist', 1]]
  )
  assert.match(
    a.program.stderr,
    /"limitName":"registration_whitelist".*limit reached|limit reached.*registration_whitelist/
  )
})

async function figureOf(agent: TestAgent, series: string): Promise<number> {
  const line = (await agent.cli('metrics')).split('\n').find(one => one.startsWith(`${series} `))
  return line === undefined ? Number.NaN : Number(line.slice(series.length))
}

test('joins, calls of the local API, decisions of the policy and pings are counted by their outcome', async t => {
  const [a, b] = await startPair(scopeOf(t))
  assert.equal(await figureOf(a, 'warren_joins_total{result="admitted"}'), 1)
  assert.equal(await figureOf(a, 'warren_joins_total{result="refused"}'), 0)
  assert.equal(await figureOf(b, 'warren_joins_total{result="admitted"}'), 0)

  const served = a.spawn(['serve', 'dev.web.site.default'])
  await served.says(/serving/, 'stderr')
  await b.knows('dev.web.site.default')
  const denied = 'warren_policy_decisions_total{decision="denied",ground="DEFAULT"}'
  const refused = await b.attempt(['connect', 'dev.web.site.default'])
  assert.match(refused.stderr, /UNAUTHORIZED/)
  assert.ok((await figureOf(b, denied)) + (await figureOf(a, denied)) > 0)
  assert.ok((await figureOf(b, 'warren_api_calls_total{service="workload",code="UNAUTHORIZED"}')) > 0)
  const ok = 'warren_api_calls_total{service="admin",code="ok"}'
  const before = await figureOf(b, ok)
  assert.ok((await figureOf(b, ok)) > before)

  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const client = b.spawn(['connect', 'dev.web.site.default'])
  await client.says(/connected/, 'stderr')
  for (const agent of [a, b]) {
    assert.ok((await figureOf(agent, 'warren_policy_decisions_total{decision="allowed",ground="RULE"}')) > 0)
    await waitFor(
      async () => (await figureOf(agent, 'warren_probes_total{path="direct",result="answered"}')) > 0,
      'an answered ping'
    )
  }

  await b.kill()
  await waitFor(async () => (await figureOf(a, 'warren_suspicions_total{change="suspected"}')) === 1, 'the suspicion')
  assert.ok((await figureOf(a, 'warren_probes_total{path="direct",result="missed"}')) > 0)
  await b.start([])
  await waitFor(
    async () => (await figureOf(a, 'warren_suspicions_total{change="answers_again"}')) === 1,
    'the end of the suspicion'
  )
})
