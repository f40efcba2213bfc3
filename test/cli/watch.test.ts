import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inTerminal, scopeOf, WARREN, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

test('a watched list is shown again with what has changed, and ends in order by a signal', async t => {
  let asked = 0
  const { runtimeDir } = await fakeApi(t, {
    admin: {
      listMembers: async () => {
        asked += 1
        return { members: [{ machine: `m${asked}`, state: 'alive' }] }
      },
      listFlows: async () => ({ flows: [] })
    }
  })
  const scope = scopeOf(t)
  const members = warren(scope, ['members', '--watch'], {}, runtimeDir)
  await members.says(/^m1 [\s\S]*^m2 /m)
  assert.equal((await members.stop()).code, 0)
  const json = warren(scope, ['flows', '--watch', '--json'], {}, runtimeDir)
  await json.says(/^\{"flows":\[\]\}\n\{"flows":\[\]\}\n/)
  assert.equal((await json.stop()).code, 0)
})

test('in a terminal a watched list takes the place of the one before, and no more lines than there are', async t => {
  const members = Array.from({ length: 100 }, (_, at) => ({ machine: `m${at}`, state: 'alive' }))
  const { runtimeDir } = await fakeApi(t, { admin: { listMembers: async () => ({ members }) } })
  const argv = ['sh', '-c', 'stty rows 10; exec "$0" "$@"', process.execPath, WARREN, 'members', '--watch']
  const program = inTerminal(scopeOf(t), argv, { env: { WARREN_RUNTIME_DIR: runtimeDir } })
  const [text] = await program.says(/\[H.\[2J\S+Z\r\n\r\n([\s\S]*?) more\r\n/)
  assert.equal(text.split('\n').length, 10)
  assert.match(text, /… 95 more\r\n$/)
})

test('a watched list ends with the failure of the agent', async t => {
  const { runtimeDir } = await fakeApi(t, {})
  const { code, stderr } = await warren(scopeOf(t), ['flows', '--watch'], {}, runtimeDir).outcome()
  assert.equal(code, 1)
  assert.match(stderr, /^warren: /)
})
