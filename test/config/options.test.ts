import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { resolveConfig } from '../../src/agent/index.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { COMMAND_LINE_ONLY, STARTS_NOTHING, unknownVariables } from '../../src/cli/unknown-variables.ts'
import { configOf, type UpOptions } from '../../src/cli/up-options.ts'
import { parseConfig } from '../../src/config/files/index.ts'
import { readOptions, UP_OPTIONS, type UpOption, type UpOptionName, variableOf } from '../../src/config/index.ts'
import { ErrorCode } from '../../src/core/index.ts'

const NAMES = Object.keys(UP_OPTIONS) as UpOptionName[]
const isList = (name: UpOptionName): boolean => 'readAll' in (UP_OPTIONS[name] satisfies UpOption)

test('each option is one of the command line and a key of the file, with the same value', () => {
  const up = buildProgram().commands.find(command => command.name() === 'up')
  for (const name of NAMES) {
    const option = up?.options.find(({ long }) => long === `--${name}`)
    assert.equal(option?.description, UP_OPTIONS[name].help, name)
    const value = isList(name) ? ['one', 'two'] : 'one'
    assert.deepEqual(parseConfig('f', `${name}: ${JSON.stringify(value)}`), { [name]: value })
    assert.throws(() => parseConfig('f', `${name}: ${isList(name) ? 'one' : '[one]'}`), {
      code: ErrorCode.InvalidConfig
    })
  }
})

test('what is given is what the agent is started with, and what is not given is its default', () => {
  const given: Partial<Record<UpOptionName, string | readonly string[]>> = {
    listen: ':7000',
    bootstrap: ['/ip4/192.0.2.1/tcp/7460'],
    'svid-lifetime': '10m',
    'node-lifetime': '2d'
  }
  const config = readOptions(name => given[name])
  assert.deepEqual(config, {
    listen: { host: '', port: 7000 },
    bootstrap: ['/ip4/192.0.2.1/tcp/7460'],
    lifetimes: { svidMs: 600_000, nodeMs: 172_800_000 }
  })
  const { listen, dataListen, lifetimes, name } = resolveConfig(config)
  assert.deepEqual([listen.port, dataListen.port, name], [7000, 7461, undefined])
  assert.deepEqual([lifetimes.svidMs, lifetimes.authorityMs], [600_000, 90 * 86_400_000])
})

test('a value that cannot be read is refused with the name of its option', () => {
  for (const name of ['listen', 'data-listen', 'svid-lifetime', 'renewal-grace'] as const) {
    assert.throws(() => readOptions(one => (one === name ? 'nonsense' : undefined)), {
      code: ErrorCode.InvalidArgument,
      message: new RegExp(`--${name} "nonsense"`)
    })
  }
})

test('an option that is undefined does not erase a default', () => {
  const { mdns, carrier } = resolveConfig({ mdns: undefined, carrier: undefined } as object)
  assert.deepEqual([mdns, carrier], [true, 'auto'])
})

/** What `up` makes of this command line and these variables. */
async function made(args: readonly string[], env: Record<string, string> = {}) {
  const up = buildProgram().commands.find(command => command.name() === 'up')
  assert.ok(up !== undefined)
  assert.deepEqual(up.parseOptions([...args]).unknown, [])
  const options = { ...up.opts<UpOptions>() }
  const { config, drainMs } = await configOf(options, up.getOptionValueSource('mdns') === 'cli', env)
  return { config, drainMs }
}

test('each option of up can be given by its variable, with the same result, and the command line overrides it', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'warren-options-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'warren.yaml')
  writeFileSync(file, 'name: of-the-file\ncarrier: relay\nlog-level: error\nmdns: true\nlimits: {proxy_flows: 7}\n')
  const values: Record<string, readonly [string, ...string[]]> = {
    oversize: ['capsule'],
    init: ['example.org'],
    join: ['a-token'],
    listen: [':7000'],
    'data-listen': ['127.0.0.1:7001'],
    advertise: ['a.example.org', '192.0.2.1'],
    bootstrap: ['/ip4/192.0.2.1/tcp/7460', '/ip4/192.0.2.2/tcp/7460'],
    'drain-timeout': ['3s'],
    'resume-window': ['30s'],
    'policy-lease': ['5m'],
    zone: ['eu-1'],
    'jwt-issuer': ['https://oidc.example.org'],
    'metrics-listen': ['127.0.0.1:9464'],
    audit: ['on'],
    'audit-push': ['syslog+tls://log.example', 'journald:'],
    otlp: ['http://127.0.0.1:4318'],
    limit: ['proxy_flows=5', 'registrations=6'],
    'log-level': ['debug'],
    config: [file]
  }
  const up = buildProgram().commands.find(command => command.name() === 'up')
  const byDefault = await made([])
  for (const { long, required } of up?.options ?? []) {
    const name = (long ?? '').slice(2)
    if (name === COMMAND_LINE_ONLY || name === STARTS_NOTHING) continue
    const texts = required ? (values[name] ?? ['9h']) : []
    const args = required ? texts.flatMap(text => [`--${name}`, text]) : [`--${name}`]
    const env = { [variableOf(name)]: required ? texts.join(',') : 'true' }
    const typed = await made(args)
    assert.notDeepEqual(typed, byDefault, name)
    assert.deepEqual(await made([], env), typed, name)
    assert.deepEqual(await made([], { [variableOf(name)]: '' }), byDefault, `${name} with an empty variable`)
    assert.deepEqual(unknownVariables(up ?? assert.fail(), env), [])
    if (!required) assert.notDeepEqual(await made([], { [variableOf(name)]: 'false' }), typed, name)
    else if (name !== 'config' && name !== 'limit') {
      assert.deepEqual(await made(args, { [variableOf(name)]: '1s' }), typed, `${name} on the command line`)
    }
  }
  const env = { WARREN_CONFIG: file, WARREN_NAME: 'of-a-variable', WARREN_NO_MDNS: '1', WARREN_LIMIT: 'proxy_flows=8' }
  const { config } = await made(['--log-level', 'debug'], env)
  const { name, carrier, logLevel, mdns, limits } = config
  assert.deepEqual([name, carrier, logLevel, mdns], ['of-a-variable', 'relay', 'debug', false])
  assert.deepEqual(limits, { proxy_flows: 8 })
})

test('a loss is accepted only on the command line: a variable that stays would accept the next one too', async () => {
  const up = buildProgram().commands.find(command => command.name() === 'up')
  const env = { [variableOf(COMMAND_LINE_ONLY)]: 'true' }
  assert.equal((await made([], env)).config.acceptLostState, undefined)
  assert.equal((await made([`--${COMMAND_LINE_ONLY}`])).config.acceptLostState, true)
  assert.match(
    unknownVariables(up ?? assert.fail(), env).join(),
    /WARREN_ACCEPT_LOST_STATE is unknown and has no effect/
  )
})

test('founding or joining is of one place: the command line, else variables, else the file', async () => {
  const token = { WARREN_JOIN_TOKEN: 'a-token' }
  assert.equal((await made([], token)).config.join, 'a-token')
  const { config } = await made(['--init', 'example.org'], { ...token, WARREN_JOIN: 'another' })
  assert.deepEqual([config.init, config.join], ['example.org', undefined])
  const env = { WARREN_JOIN: 'another' }
  await made([], env)
  assert.deepEqual(env, {}, 'no child reads the token')
})

test('a variable that cannot be read is refused by its name, and one that is unknown is named', async () => {
  const wrong: ReadonlyArray<readonly [string, string]> = [
    ['WARREN_DATA_LISTEN', 'nonsense'],
    ['WARREN_SVID_LIFETIME', 'nonsense'],
    ['WARREN_DRAIN_TIMEOUT', 'nonsense'],
    ['WARREN_LIMIT', 'nonsense'],
    ['WARREN_LOG_LEVEL', 'loud'],
    ['WARREN_NO_MDNS', 'yes please'],
    ['WARREN_ADVERTISE', 'a,,b']
  ]
  for (const [name, text] of wrong) await assert.rejects(made([], { [name]: text }), new RegExp(`${name} `), name)
  const up = buildProgram().commands.find(command => command.name() === 'up') ?? assert.fail()
  const env = { WARREN_DATALISTEN: ':1', WARREN_BANDWIDTH: '1', WARREN_RUNTIME_DIR: '/r', PATH: '/bin' }
  assert.deepEqual(unknownVariables(up, env), [
    'warning: the variable WARREN_DATALISTEN is unknown and has no effect (Did you mean WARREN_DATA_LISTEN?)',
    'warning: the variable WARREN_BANDWIDTH is unknown and has no effect'
  ])
})

test('WARREN_STATE_DIR is the state directory of what reads no option as well', () => {
  assert.equal(resolveConfig({}, { WARREN_STATE_DIR: '/s' }).stateDir, '/s')
  assert.equal(resolveConfig({ stateDir: '/given' }, { WARREN_STATE_DIR: '/s' }).stateDir, '/given')
})
