import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, startPair } from '../harness/index.ts'

interface EventView {
  readonly name: string
  readonly at: string
  readonly fields: Readonly<Record<string, unknown>>
}

test('an operator sees what happened on a host, and follows what happens: hosts, registrations, rules, refusals', async t => {
  const [a, b] = await startPair(scopeOf(t))
  const follower = a.spawn(['events', '--follow', '--json', '--type', 'host-lost', '--type', 'rule-changed'])
  await a.cli('allow', 'dev.web.*.*', 'dev.web.*.*')
  await follower.says(/"name":"rule-changed"/)
  await a.cli('register', 'dev.web.site.default')
  const refused = await b.attempt(['connect', 'dev.web.site.default'])
  assert.notEqual(refused.code, 0)
  await b.stop()
  await follower.says(/"name":"host-lost".*"machine":"b"/)

  const { events } = JSON.parse(await a.cli('events', '--json', '--since', '1h')) as { readonly events: EventView[] }
  const of = (name: string) => events.filter(one => one.name === name)
  assert.equal(of('host-admitted')[0]?.fields['machine'], 'b')
  assert.equal(of('host-connected')[0]?.fields['machine'], 'b')
  assert.equal(of('rule-changed')[0]?.fields['subject'], 'dev.web.*.* -> dev.web.*.*')
  assert.match(String(of('registration-added')[0]?.fields['spiffeId']), /^spiffe:\/\/example\.org\/.*site/)
  assert.match(String(of('host-lost')[0]?.fields['cause']), /^left$/)
  assert.deepEqual(
    events.map(({ at }) => at),
    events.map(({ at }) => at).sort()
  )

  const lines = await a.cli('events', '--type', 'host-lost')
  assert.match(lines, /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}host-lost {2}peer=\S+ {2}machine=b {2}cause=\S+\n$/)
  assert.match(a.program.stderr, /"machine":"b".*"msg":"host left"/)

  const unknown = await a.attempt(['events', '--type', 'host-gone'])
  assert.match(unknown.stderr, /INVALID_ARGUMENT: no event "host-gone" is remembered\n {2}There are: .*host-lost/)
  assert.match((await a.attempt(['events', '--since', '1m', '--type', 'evicted'])).stderr, /nothing that is remembered/)
})
