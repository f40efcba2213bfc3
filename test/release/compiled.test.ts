import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type Code, codeHash, compileStart } from '../../tools/release/compiled.ts'
import { PLATFORMS, type Platform } from '../../tools/release/platforms.ts'
import { scopeOf } from '../harness/index.ts'

const RELEASE = join(import.meta.dirname, '..', '..', 'tools', 'release')
const PRELOAD = join(import.meta.dirname, 'support', 'assets.mjs')
/** Those of the executable that V8 knows. */
const OPTIONS = ['--disable-sigusr1', '--max-semi-space-size=1']
const SOURCES = {
  'src/main.ts': `const { greet } = require('./command.ts'); process.stdout.write(greet() + require('./agent.ts').name() + require('./other.ts').mark)`,
  'src/command.ts': `exports.greet = () => 'hello '`,
  'src/agent.ts': `exports.name = () => 'world'; exports.unused = () => { ${'unused();'.repeat(500)} }`,
  'src/other.ts': `exports.mark = '!'`
}
const own = PLATFORMS.find(({ arch }) => arch === process.arch) as Platform
const foreign = PLATFORMS.find(({ arch }) => arch !== process.arch) as Platform
const skip = own === undefined && 'no executable is made for this machine'
const ALL_TAKEN = { 'src/main.ts': 'taken', 'src/command.ts': 'taken', 'src/agent.ts': 'taken', 'src/other.ts': 'none' }

/** Four modules as packModules writes them, and which of them are for commands and for agents. */
function packed(t: TestContext, hashOf = codeHash) {
  const work = scopeOf(t).directory()
  const [modules, list] = [join(work, 'modules'), join(work, 'list')]
  const codes = Object.values(SOURCES).map(code => `(function(require,exports,module){${code}\n})`)
  const imports = { './command.ts': 1, './agent.ts': 2, './other.ts': 3 }
  const table = Object.keys(SOURCES).map((path, at) => {
    const offset = codes.slice(0, at).join('').length
    return [path, offset, codes[at]?.length, imports, false]
  })
  writeFileSync(modules, `${JSON.stringify(table)}\n${codes.join('')}`)
  const [main = '', command = '', agent = ''] = codes
  const nameAt = agent.indexOf(`'world'`) + `'world'`.length
  const lines = [
    'node:path',
    '# both',
    `src/main.ts ${hashOf(main)} ${main.length - 1}`,
    '# commands',
    `src/command.ts ${hashOf(command)} ${command.length - 1}`,
    '# agent',
    `src/gone.ts 00000000 7`,
    `src/agent.ts ${hashOf(agent)} ${nameAt} ${agent.length - 1}`
  ]
  writeFileSync(list, `${lines.join('\n')}\n`)
  return { work, modules, list }
}

/** Runs the modules as the executable does; returns what they print, and what V8 did with each compiled one. */
function start(code: Code, options = OPTIONS) {
  const { stdout, stderr, output } = spawnSync(
    process.execPath,
    [...options, '--import', PRELOAD, join(RELEASE, 'start.mjs')],
    {
      env: { ...process.env, NODE_OPTIONS: '', ASSETS: JSON.stringify(code) },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      encoding: 'utf8'
    }
  )
  assert.equal(stderr, '')
  return { stdout, taken: JSON.parse(output[3] ?? '') as Readonly<Record<string, string>> }
}

test('what is compiled for the start is the same in each release', { skip }, t => {
  const { work, modules, list } = packed(t)
  const [first, second] = [0, 1].map(() =>
    Object.values(compileStart({ platform: own, modules, work, list })).map(file => readFileSync(file))
  )
  assert.equal(first?.length, 5)
  assert.deepEqual(first, second)
})

test('V8 takes what was compiled for the start, under the options of the executable', { skip }, t => {
  const { work, modules, list } = packed(t)
  const { stdout, taken } = start(compileStart({ platform: own, modules, work, list }))
  assert.equal(stdout, 'hello world!')
  assert.deepEqual(taken, ALL_TAKEN)
})

test('functions that no start executes are not compiled, unless the module has changed since it was recorded', {
  skip
}, t => {
  const [recorded, changed] = [codeHash, () => '00000000'].map(hashOf => {
    const { work, modules, list } = packed(t, hashOf)
    const code = compileStart({ platform: own, modules, work, list })
    assert.deepEqual(start(code).taken, ALL_TAKEN)
    const [, , , [[, length]]] = JSON.parse(readFileSync(code.compiled, 'latin1').split('\n', 1)[0] ?? '') as [
      unknown,
      unknown,
      unknown,
      [[number, number]]
    ]
    return length
  })
  assert.ok(Number(changed) > Number(recorded) + 1_000, `${changed} and ${recorded} bytes`)
})

test('where V8 has other flags, the modules are compiled from their source', { skip }, t => {
  const { work, modules, list } = packed(t)
  const code = compileStart({ platform: own, modules, work, list })
  const { stdout, taken } = start(code, [...OPTIONS, '--no-flush-bytecode'])
  assert.equal(stdout, 'hello world!')
  assert.equal(taken['src/main.ts'], 'refused')
})

test('what another version of V8 has compiled is refused, and compiled from its source', { skip }, t => {
  const { work, modules, list } = packed(t)
  const code = compileStart({ platform: own, modules, work, list })
  const bytes = readFileSync(code.compiled)
  const begin = bytes.indexOf(10) + 1
  // The second word of its header is the hash of the version.
  bytes.fill(0, begin + 4, begin + 8)
  writeFileSync(code.compiled, bytes)
  const { stdout, taken } = start(code)
  assert.equal(stdout, 'hello world!')
  assert.deepEqual([taken['src/main.ts'], taken['src/command.ts']], ['refused', 'taken'])
})

test('nothing is compiled for another architecture', { skip }, t => {
  const { work, modules, list } = packed(t)
  const code = compileStart({ platform: foreign, modules, work, list })
  assert.equal(readFileSync(code.compiled, 'latin1'), '[[],[],[],[]]\n')
  const { stdout, taken } = start(code)
  assert.equal(stdout, 'hello world!')
  assert.deepEqual(Object.values(taken), ['none', 'none', 'none', 'none'])
})
