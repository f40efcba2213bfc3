import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { inTerminal, type Program, scopeOf, WARREN, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

test('a watched list is printed again when it has changed, and ends in order by a signal', async t => {
  let asked = 0
  const { runtimeDir } = await fakeApi(t, {
    admin: {
      listMembers: async () => {
        asked += 1
        // A lease moves with time alone.
        return { members: [{ machine: `m${asked < 3 ? 1 : 2}`, state: 'alive', leaseLeftMs: BigInt(asked) }] }
      }
    }
  })
  const scope = scopeOf(t)
  const [text, json] = [['members'], ['members', '--json']].map(args =>
    warren(scope, [...args, '--watch'], {}, runtimeDir)
  ) as [Program, Program]
  await Promise.all([text.says(/^m2 /m), json.says(/"m2".*\n/)])
  const outcomes = await Promise.all([text.stop(), json.stop()])
  assert.deepEqual(
    outcomes.map(({ code }) => code),
    [0, 0]
  )
  assert.equal(outcomes[1].stdout.split('\n').length, 3)
})

test('a watched list outlives a restart of the agent, and says so', async t => {
  let isReady = true
  let machine = 'm1'
  const members = async () => {
    if (!isReady) throw new WarrenError(ErrorCode.NotReady, 'the agent is starting')
    return { members: [{ machine, state: 'alive' }] }
  }
  const { runtimeDir } = await fakeApi(t, { admin: { listMembers: members } })
  const program = warren(scopeOf(t), ['members', '--watch'], {}, runtimeDir)
  await program.says(/^m1 /m)
  isReady = false
  await program.says(/waiting for the agent: .*the agent is starting.* \(Ctrl-C ends this\)/, 'stderr')
  isReady = true
  machine = 'm2'
  await program.says(/the agent answers/, 'stderr')
  await program.says(/^m2 /m)
  assert.equal((await program.stop()).code, 0)
})

test('a list that the agent sends after each change is followed through its restart', async t => {
  let streams = 0
  const { runtimeDir } = await fakeApi(t, {
    workload: {
      watchServices: async function* (_request, _caller, signal) {
        streams += 1
        yield { services: [{ address: `dev.web.s${streams}.default.m1` }] }
        if (streams === 1) throw new WarrenError(ErrorCode.NotReady, 'the agent is stopping')
        await new Promise(resolve => signal.addEventListener('abort', resolve))
      },
      listServices: async () => ({ services: [{ address: 'dev.web.s1.default.m1' }] })
    }
  })
  const program = warren(scopeOf(t), ['services', '--watch', '--json'], {}, runtimeDir)
  await program.says(/"dev\.web\.s1\..*\n.*"dev\.web\.s2\..*\n/)
  const { code, stdout } = await program.stop()
  assert.equal(code, 0)
  assert.equal(stdout.split('\n').length, 3)
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

test('a watched list fails as one that is not, if the agent does not answer at first', async t => {
  const { runtimeDir } = await fakeApi(t, {})
  const { code, stderr } = await warren(scopeOf(t), ['flows', '--watch'], {}, runtimeDir).outcome()
  assert.equal(code, 1)
  assert.match(stderr, /^warren: /)
})
