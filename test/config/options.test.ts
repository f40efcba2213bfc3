import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveConfig } from '../../src/agent/index.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { parseConfig } from '../../src/cli/up-config.ts'
import { readOptions, UP_OPTIONS, type UpOption, type UpOptionName } from '../../src/config/index.ts'
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
    listen: { host: '0.0.0.0', port: 7000 },
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
