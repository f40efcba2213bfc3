import assert from 'node:assert/strict'
import test from 'node:test'
import { scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'

interface Answer {
  readonly members: readonly { machine: string }[]
  readonly lost: readonly { machine: string; state: string; dataAddresses: string[]; served: string[] }[]
}

const seenBy = async (agent: TestAgent): Promise<Answer> => JSON.parse(await agent.cli('members', '--json')) as Answer

async function lost(agent: TestAgent, machine: string): Promise<Answer['lost'][number]> {
  return await waitFor(
    async () => (await seenBy(agent)).lost.find(one => one.machine === machine),
    `${machine} to be lost`
  )
}

test('a host that stops, falls silent or is evicted stays in sight, with its last address and what it served', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope)
  const c = await new TestAgent(scope, {
    name: 'c',
    args: ['--join', (await a.cli('token', 'create', 'c')).trim()]
  }).start()
  await c.sees(2)
  b.spawn(['serve', 'dev.web.site.default'])
  await a.knows('dev.web.site.default')
  await b.kill()
  await c.stop()
  const left = await lost(a, 'c')
  assert.equal(left.state, 'left')
  const silent = await lost(a, 'b')
  assert.deepEqual([silent.state, silent.served], ['silent', ['dev.web.site.default.b']])
  assert.match(silent.dataAddresses[0] ?? '', /^127\.0\.0\.1:\d+$/)
  assert.match(await a.cli('members'), /^b +silent for \d+m?s .* ended .* 127\.0\.0\.1:\d+/m)
  assert.doesNotMatch(await a.cli('services'), /site/)
  assert.match(await a.cli('services', '--all'), /^dev\.web\.site\.default\.b +tcp +host silent for \d+m?s +b /m)
  const explained = await a.attempt(['explain', 'dev.cli.me.default', 'dev.web.site.default'])
  assert.match(explained.stdout, /host +b, which had it, is silent since .*, last at 127\.0\.0\.1:\d+/)

  await a.cli('members', '--forget', 'c')
  assert.deepEqual(
    (await seenBy(a)).lost.map(({ machine }) => machine),
    ['b']
  )
  assert.match((await a.attempt(['members', '--forget', 'c'])).stderr, /NOT_FOUND: no lost host named c/)
  assert.match((await a.attempt(['members', '--forget', 'a'])).stderr, /INVALID_ARGUMENT: a is a member\n.*evict a/)

  // It returns, and is no longer lost.
  await b.start([])
  await a.sees(1)
  await waitFor(async () => (await seenBy(a)).lost.length === 0, 'nobody to be lost')
  await a.cli('evict', 'b')
  assert.equal((await lost(a, 'b')).state, 'evicted')
})
