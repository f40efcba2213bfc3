import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from 'commander'
import { Exit } from '../../src/cli/exit.ts'
import { type Failure, failureOf } from '../../src/cli/output/report.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { scopeOf, warren } from '../harness/index.ts'

const NO_AGENT = ['--runtime-dir', '/nonexistent']

/** Command lines that are wrong by themselves, and what is said of them. */
const WRONG: ReadonlyArray<readonly [string[], RegExp]> = [
  [['stauts'], /^warren: unknown command 'stauts' \(Did you mean status\?\)$/m],
  [['polcy', 'show'], /Did you mean policy\?/],
  [['status', '--jsno'], /^warren: unknown option '--jsno' \(Did you mean --json\?\)$/m],
  [['connect'], /^warren: missing required argument 'destination'$/m],
  [['status', 'extra'], /^warren: too many arguments/m],
  [['forward', 'dev.a.b.c'], /--listen/],
  [['forward', 'dev.a.b.c', '--listen', 'nowhere'], /^warren: INVALID_ARGUMENT: --listen "nowhere" is not HOST:PORT$/m],
  [
    ['forward', 'dev.a.b.c', '--listen', ':0', '--keepalive', '5'],
    /^warren: INVALID_ARGUMENT: --keepalive "5" is not a length of time$/m
  ],
  [
    ['forward', 'dev.a.b.c', '--listen', ':0', '--keepalive', '10h'],
    /^warren: INVALID_ARGUMENT: --keepalive "10h" is out of range$/m
  ],
  [['forward', '*.a.b.c', '--listen', ':0'], /^warren: INVALID_ARGUMENT: the scope of "\*\.a\.b\.c" is not one name$/m],
  [['expose', 'dev.a.b.c'], /^warren: INVALID_OPTION: nothing to expose$/m],
  [['expose', 'dev.a.b.c', '--unix', '/run/x', '--server-user', 'web'], /--server-user goes with a port only/],
  [['register', 'dev.a.b.c', '--listen', '--server-user', 'web'], /--server-user goes with a port only/],
  [['expose', 'dev.a.b.c', '--tcp', '80'], /--tcp "80" is not HOST:PORT/],
  [['register', 'dev.a.b.c', '--tcp', ':1', '--listen'], /exclude each other/],
  [['register', 'dev.a.b.c', '--pid', 'x'], /--pid "x" is not a process id/],
  [['register', 'dev.a.b.c', '--wait', 'long'], /Allowed choices are all, quorum, local/],
  [['token', 'create', 'b', '--ttl', 'soon'], /--ttl "soon" is not a length of time/],
  [['allow', 'a', 'b', '--until', 'soon'], /--until "soon" is not a time/],
  [['up', '--init', 'example.org', '--join', 'x'], /cannot be used with/],
  [['up', '--carrier', 'pigeon'], /^warren: INVALID_OPTION: "pigeon" is no carrier$/m],
  [['services', ''], /^warren: INVALID_ARGUMENT: pattern is empty$/m],
  [['up', '--listen', 'x'], /--listen "x" is not HOST:PORT/],
  [
    ['up', '--config', '/nonexistent'],
    /^warren: INVALID_CONFIG: cannot read \/nonexistent: it does not exist \(ENOENT\)\n {2}\S/m
  ],
  [['up', '--join', '@/nonexistent'], /--join: cannot read \/nonexistent: it does not exist \(ENOENT\)/]
]

/** Every command that talks to an agent. */
const CALLS: readonly string[][] = [
  ['status'],
  ['members'],
  ['services'],
  ['services', '--watch'],
  ['flows'],
  ['token', 'create', 'b'],
  ['serve', 'dev.a.b.c', '--no-wait'],
  ['connect', 'dev.a.b.c'],
  ['expose', 'dev.a.b.c', '--tcp', '127.0.0.1:1', '--no-wait'],
  ['forward', 'dev.a.b.c', '--listen', '127.0.0.1:0', '--no-wait'],
  ['register', 'dev.a.b.c'],
  ['deregister', 'token'],
  ['allow', 'dev.a.b.c', 'dev.a.b.d'],
  ['deny', 'dev.a.b.c', 'dev.a.b.d'],
  ['policy', 'show'],
  ['policy', 'remove', 'r1'],
  ['explain', 'dev.a.b.c', 'dev.a.b.d']
]

// In this process, since fifty of them would take half a minute.
async function failureOfCommand(args: readonly string[], json = false): Promise<Failure> {
  try {
    await buildProgram().parseAsync(['node', 'warren', ...args])
  } catch (err) {
    return failureOf(err, json)
  }
  throw new Error(`warren ${args.join(' ')} did not fail`)
}

test('a wrong command line says what is wrong and exits with 2', async () => {
  for (const [args, message] of WRONG) {
    const { text, exit } = await failureOfCommand(args)
    assert.match(text, message)
    assert.match(text, /^warren: [^\n]+\n( {2}[^\n]+\n)?$/, 'a line, and perhaps a hint')
    assert.equal(exit, Exit.Usage, args.join(' '))
  }
})

test('without an agent each command says so in one line, with a hint, and exits with 1', async () => {
  for (const args of CALLS) {
    const { text, exit } = await failureOfCommand([...args, ...NO_AGENT])
    assert.match(
      text,
      /^warren: AGENT_NOT_RUNNING: no agent answers on \/nonexistent\/(agent|admin)\.sock\n {2}[^\n]*warren up[^\n]*\n$/,
      args.join(' ')
    )
    assert.equal(exit, Exit.Failed)
  }
})

test('the process ends with that code and those lines, and prints no data', async t => {
  const wrong = await warren(scopeOf(t), ['stauts']).outcome()
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /^warren: unknown command 'stauts' \(Did you mean status\?\)\n/)
  assert.equal(wrong.stdout, '')
  const failed = await warren(scopeOf(t), ['--json', 'status', ...NO_AGENT]).outcome()
  assert.equal(failed.code, 1)
  assert.equal(failed.stdout, '')
  const { error } = JSON.parse(failed.stderr) as { error: { code: string; reason: string; hint: string } }
  assert.equal(error.code, 'AGENT_NOT_RUNNING')
  assert.match(error.hint, /warren up/)
  const nothing = await warren(scopeOf(t), []).outcome()
  assert.equal(nothing.code, 2)
  assert.match(nothing.stderr, /^Usage: warren/)
})

test('help and version are data, and succeed', async t => {
  const help = await warren(scopeOf(t), ['up', '--help']).outcome()
  assert.equal(help.code, 0)
  assert.match(help.stdout, /WARREN_JOIN_TOKEN/)
  const version = await warren(scopeOf(t), ['--version']).outcome()
  assert.equal(version.code, 0)
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
})

test('no option takes an empty value, as an unset variable of a shell is, for its default', async () => {
  const valued = (command: Command, path: readonly string[]): string[][] => [
    ...command.options.flatMap(option =>
      option.required || option.optional ? [[...path, option.long ?? '', '']] : []
    ),
    ...command.commands.flatMap(one => valued(one, [...path, one.name()]))
  ]
  const lines = valued(buildProgram(), []).filter(words => words.at(-2) !== '--join')
  assert.ok(lines.length > 60, `${lines.length}`)
  for (const words of lines) {
    const { text, exit } = await failureOfCommand(words)
    assert.equal(exit, Exit.Usage, words.join(' '))
    assert.ok(text.includes(`warren: INVALID_ARGUMENT: ${words.at(-2)} is empty\n  A variable of the shell`), text)
  }
})
