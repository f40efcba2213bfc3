import assert from 'node:assert/strict'
import test from 'node:test'
import type { AdminHandlers } from '../../src/api/index.ts'
import { fakeApi } from './fake-api.ts'

/** An agent whose question was answered so, by one host. */
function answering(host: object): Partial<AdminHandlers> {
  return {
    async *observe() {
      yield { hosts: [{ machine: 'liar', state: 'answered', ...host }], finished: true, complete: true }
    }
  }
}

test('records of a host that says anything are shown, command no terminal and end no command', async t => {
  const records = [
    { seq: 1n, atMs: 2n ** 62n, name: 'flow-opened', fields: 'not JSON' },
    { seq: 2n, atMs: -(2n ** 62n), name: 'evil\u001b[2J', fields: '[1]' },
    { seq: 3n, atMs: 1n, name: 'flow-opened', fields: '{"source":"a\\u001b[31m","deep":{"x":{}},"null":null}' }
  ]
  const { run } = await fakeApi(t, {
    admin: answering({ audit: { records, total: 4_000_000_000, searchedFromMs: 2n ** 62n } })
  })
  const { code, stdout, stderr } = await run('audit', 'show', '--mesh')
  assert.equal(code, 0, stderr)
  assert.ok(!(stdout + stderr).includes('\u001b'))
  assert.equal(stdout.trim().split('\n').length, 3)
  assert.match(stdout, /unreadable="not JSON"/)
  assert.match(stderr, /liar: 3999999997 of its 4000000000 records are left out/)
  const json = JSON.parse((await run('audit', 'show', '--mesh', '--json')).stdout) as {
    hosts: [{ records: Array<{ at: string }> }]
  }
  assert.deepEqual(
    json.hosts[0].records.map(({ at }) => at),
    ['', '', '1970-01-01T00:00:00.001Z']
  )
})

test('a host speaks for its own registrations, and for those of no other host', async t => {
  const services = [
    {
      address: 'dev.web.site.default.victim',
      machine: 'victim',
      local: true,
      health: 'passing',
      registeredAtMs: -(2n ** 62n)
    }
  ]
  const { run } = await fakeApi(t, { admin: answering({ services: { services, total: 1 } }) })
  const { code, stdout, stderr } = await run('services', '--mesh')
  assert.equal(code, 0, stderr)
  assert.match(stdout, / liar /)
  assert.doesNotMatch(stdout, /this host| victim /)
})
