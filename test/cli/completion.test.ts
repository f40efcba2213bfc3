import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complete, SHELLS, situationOf } from '../../src/cli/completion/index.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { scopeOf, warren } from '../harness/index.ts'
import { fakeApi } from './fake-api.ts'

const service = (address: string, protocols: number[] = [1]) => ({
  address,
  protocols,
  machine: address.split('.')[4] ?? ''
})

/** The words that fit, for a line after the name of the program. */
async function fitting(words: readonly string[], runtimeDir = '/nonexistent') {
  const { candidates, paths } = await complete(situationOf(buildProgram(), ['--runtime-dir', runtimeDir, ...words]))
  return { values: candidates.map(({ value }) => value), paths }
}

const values = async (words: readonly string[], runtimeDir?: string): Promise<readonly string[]> =>
  (await fitting(words, runtimeDir)).values

test('commands are completed below each other, and after help', async () => {
  assert.deepEqual(await values(['sta']), ['status'])
  assert.deepEqual(await values(['token', '']), ['create', 'list', 'show', 'revoke', 'help'])
  assert.deepEqual(await values(['--json', 'token', 're']), ['revoke'])
  assert.deepEqual(await values(['help', 'sta']), ['status'])
  assert.deepEqual(await values(['status', '']), [])
  assert.ok(!(await values([''])).includes('__complete'))
})

test('options are those of the command and of every command, without the switches that are on the line', async () => {
  const offered = await values(['forward', 'dev.a.b.c', '--udp', '-'])
  for (const name of ['--listen', '--as', '--json', '--runtime-dir', '--help']) {
    assert.ok(offered.includes(name), name)
  }
  assert.ok(!offered.includes('--udp'))
  assert.deepEqual(await values(['expose', 'dev.a.b.c', '--tcp', ':1', '--tc']), ['--tcp'])
  assert.deepEqual(await values(['forward', '--', '--l']), [])
})

test('values are the choices of an option or argument, behind a space or "="', async () => {
  assert.deepEqual(await values(['up', '--log-level', 'w']), ['warn'])
  assert.deepEqual(await values(['up', '--log-level=w']), ['--log-level=warn'])
  assert.deepEqual(await values(['up', '--oversize', '']), ['drop', 'capsule'])
  assert.deepEqual(await values(['entry', 'strict', '']), ['on', 'off'])
  assert.deepEqual(await values(['completion', '']), [...SHELLS])
  assert.deepEqual(await values(['up', '--name', '']), [])
})

test('files and directories are left to the shell', async () => {
  assert.deepEqual(await fitting(['up', '--config', '/e']), { values: [], paths: 'files' })
  assert.deepEqual(await fitting(['up', '--state-dir', '']), { values: [], paths: 'directories' })
  assert.deepEqual(await fitting(['backup', '']), { values: [], paths: 'files' })
})

test('addresses and machines are asked from the agent that the line names', async t => {
  const patterns: string[] = []
  const all = [service('dev.web.a.default.m1'), service('dev.web.a.default.m2'), service('dev.shop.c.default.m1', [])]
  const { runtimeDir } = await fakeApi(t, {
    workload: {
      listServices: async ({ pattern }) => {
        patterns.push(pattern)
        return { services: all }
      }
    },
    admin: { listMembers: async () => ({ members: [{ machine: 'm1' }, { machine: 'm2' }] }) }
  })
  // Only what serves is a destination; a machine is for those who have begun to type it.
  assert.deepEqual(await values(['connect', ''], runtimeDir), ['dev.web.a.default'])
  assert.deepEqual(await values(['connect', "'dev.web.a.default."], runtimeDir), [
    'dev.web.a.default.m1',
    'dev.web.a.default.m2'
  ])
  assert.deepEqual(await values(['connect', 'x', '--as', 'dev.s'], runtimeDir), ['dev.shop.c.default'])
  assert.deepEqual(await values(['connect', 'x', '--as=dev.s'], runtimeDir), ['--as=dev.shop.c.default'])
  assert.deepEqual(patterns, ['', 'dev.web.a.default.*', 'dev.*.*.*', 'dev.*.*.*'])
  assert.deepEqual(await values(['evict', ''], runtimeDir), ['m1', 'm2'])
  assert.deepEqual(await values(['entry', 'add', 'dev.*.*.*', '--machine', ''], runtimeDir), ['m1', 'm2'])
})

test('who may not list the members gets the machines of the services', async t => {
  const { runtimeDir } = await fakeApi(t, {
    workload: { listServices: async () => ({ services: [service('dev.web.a.default.m3')] }) }
  })
  assert.deepEqual(await values(['evict', ''], runtimeDir), ['m3'])
})

test('of thousands of addresses only the next part is offered', async t => {
  const services = Array.from({ length: 5_000 }, (_, at) => service(`dev.g${at % 7}.n${at}.default.m1`))
  const { runtimeDir } = await fakeApi(t, { workload: { listServices: async () => ({ services }) } })
  assert.deepEqual(
    await values(['connect', 'dev.'], runtimeDir),
    [0, 1, 2, 3, 4, 5, 6].map(at => `dev.g${at}.`)
  )
  assert.equal((await values(['connect', 'dev.g1.'], runtimeDir)).length, 100)
})

test('nothing that a shell gives a meaning leaves the agent for a command line', async t => {
  const bad = [
    '--exec',
    '$(id)',
    '`id`',
    'a;id',
    'a b',
    "a'b",
    'a"b',
    'a\nb',
    'a\tb',
    ':files',
    'a\\b',
    '\u001b[2J',
    'a'.repeat(402)
  ]
  const { runtimeDir } = await fakeApi(t, {
    admin: { listMembers: async () => ({ members: [...bad, 'good'].map(machine => ({ machine })) }) }
  })
  assert.deepEqual(await values(['evict', ''], runtimeDir), ['good'])
  assert.deepEqual(await values(['entry', 'add', 'dev.*.*.*', '--machine='], runtimeDir), ['--machine=good'])
})

test('without an agent, or an answer, a line is completed with what is known, in silence and with success', async t => {
  assert.deepEqual(await values(['connect', 'dev.']), [])
  const none = await warren(scopeOf(t), ['__complete', '--', 'warren', 'connect', ''], {}, '/nonexistent').outcome()
  assert.deepEqual([none.code, none.stdout, none.stderr], [0, ':none\n', ''])
  const waiting = Promise.withResolvers<never>()
  const { run } = await fakeApi(t, {
    workload: {
      listServices: async (_request, _caller, signal) => {
        signal.addEventListener('abort', () => waiting.reject(signal.reason))
        return await waiting.promise
      }
    }
  })
  const silent = await run('__complete', '--', 'warren', 'connect', '')
  assert.deepEqual([silent.code, silent.stdout, silent.stderr], [0, ':none\n', ''])
})

test('every command whose argument or option is an address, a machine or a path is completed', () => {
  const program = buildProgram()
  const names = new Set<string>()
  const walk = (command: typeof program): void => {
    for (const { flags } of command.options)
      for (const [, name = ''] of flags.matchAll(/[<[]([^>\].]+)/g)) names.add(name)
    for (const argument of command.registeredArguments) names.add(argument.name())
    command.commands.forEach(walk)
  }
  walk(program)
  // A new name of a value must be one of these, or in the table of src/cli/completion/candidates.ts.
  const free = [
    'when',
    'order',
    'group',
    'drop|capsule',
    'on|off',
    'reach',
    'level',
    'how',
    'who',
    'shell',
    'role',
    'trust-domain',
    'token',
    'host:port',
    'host'
  ]
  const others = [
    'multiaddr',
    'name',
    'time',
    'name=number',
    'scope',
    'host:port|unix:path',
    'user|any',
    'key=value',
    'uid',
    'uid|uid=address',
    'address=port',
    'mode',
    'seq:hash',
    'port'
  ]
  const joins = ['claim=pattern', 'field', 'id', 'issuer', 'network', 'url']
  const rest = [
    'bytes',
    'number',
    'pid',
    'spiffe-id',
    'text',
    'hex',
    'registration',
    'words',
    'uri',
    'digest',
    'label',
    'profile'
  ]
  const completed = ['dir', 'file', 'path', 'command', 'destination', 'address', 'source', 'pattern', 'what', 'machine']
  const asked = ['rule', 'entry', 'revocation', 'token-id', 'admin']
  assert.deepEqual([...names].sort(), [...free, ...others, ...joins, ...rest, ...completed, ...asked].sort())
})
