import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, startPair } from '../harness/index.ts'

test('an operator reads what the agent counted, and a limit that was reached is there, in the log and in the error', async t => {
  const [a] = await startPair(scopeOf(t))
  const text = await a.cli('metrics')
  assert.match(text, /^warren_members\{state="connected"\} 1$/m)
  assert.match(text, /^warren_mesh_connections 1$/m)
  assert.match(text, /^warren_registry_sync_sessions_total\{result="ok"\} [1-9]/m)
  assert.match(text, /^process_resident_memory_bytes [1-9]\d{7}/m)
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
