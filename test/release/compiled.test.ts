import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { compileStart } from '../../tools/release/compiled.ts'
import { PLATFORMS, type Platform } from '../../tools/release/platforms.ts'
import { scopeOf } from '../harness/index.ts'

const RELEASE = join(import.meta.dirname, '..', '..', 'tools', 'release')
const PRELOAD = join(import.meta.dirname, 'support', 'assets.mjs')
/** Those of the executable that V8 knows. */
const OPTIONS = ['--disable-sigusr1', '--max-semi-space-size=1']
const SOURCES = {
  'src/main.ts': `const { greet } = require('./listed.ts'); process.stdout.write(greet() + require('./other.ts').name)`,
  'src/listed.ts': `exports.greet = () => 'hello '`,
  'src/other.ts': `exports.name = 'world'`
}
const LISTED = ['src/main.ts', 'src/listed.ts']
const own = PLATFORMS.find(({ arch }) => arch === process.arch) as Platform
const foreign = PLATFORMS.find(({ arch }) => arch !== process.arch) as Platform
const skip = own === undefined && 'no executable is made for this machine'

/** Three modules as packModules writes them, the first two of them listed. */
function packed(t: TestContext) {
  const work = scopeOf(t).directory()
  const [modules, list] = [join(work, 'modules'), join(work, 'list')]
  const codes = Object.values(SOURCES).map(code => `(function(require,exports,module){${code}\n})`)
  const imports = { './listed.ts': 1, './other.ts': 2 }
  const table = Object.keys(SOURCES).map((path, at) => {
    const offset = codes.slice(0, at).join('').length
    return [path, offset, codes[at]?.length, imports, false]
  })
  writeFileSync(modules, `${JSON.stringify(table)}\n${codes.join('')}`)
  writeFileSync(list, `${LISTED.join('\n')}\n`)
  return { work, modules, list }
}

/** Runs the modules as the executable does; returns what they print, and what V8 did with each compiled one. */
function start(modules: string, compiled: string, options = OPTIONS) {
  const { stdout, stderr, output } = spawnSync(
    process.execPath,
    [...options, '--import', PRELOAD, join(RELEASE, 'start.mjs')],
    {
      env: { ...process.env, NODE_OPTIONS: '', ASSETS: JSON.stringify({ modules, compiled }) },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      encoding: 'utf8'
    }
  )
  assert.equal(stderr, '')
  return { stdout, taken: JSON.parse(output[3] ?? '') as Readonly<Record<string, string>> }
}

test('what is compiled for the start is the same in each release', { skip }, t => {
  const { work, modules, list } = packed(t)
  const [first, second] = [0, 1].map(() => readFileSync(compileStart({ platform: own, modules, work, list })))
  assert.ok((first?.length ?? 0) > 200)
  assert.deepEqual(first, second)
})

test('V8 takes what was compiled for the start, under the options of the executable', { skip }, t => {
  const { work, modules, list } = packed(t)
  const { stdout, taken } = start(modules, compileStart({ platform: own, modules, work, list }))
  assert.equal(stdout, 'hello world')
  assert.deepEqual(taken, { 'src/main.ts': 'taken', 'src/listed.ts': 'taken', 'src/other.ts': 'none' })
})

test('where V8 has other flags, the modules are compiled from their source', { skip }, t => {
  const { work, modules, list } = packed(t)
  const compiled = compileStart({ platform: own, modules, work, list })
  const { stdout, taken } = start(modules, compiled, [...OPTIONS, '--no-flush-bytecode'])
  assert.equal(stdout, 'hello world')
  assert.equal(taken['src/main.ts'], 'refused')
})

test('what another version of V8 has compiled is refused, and compiled from its source', { skip }, t => {
  const { work, modules, list } = packed(t)
  const compiled = compileStart({ platform: own, modules, work, list })
  const bytes = readFileSync(compiled)
  const begin = bytes.indexOf(10) + 1
  // The second word of its header is the hash of the version.
  bytes.fill(0, begin + 4, begin + 8)
  writeFileSync(compiled, bytes)
  const { stdout, taken } = start(modules, compiled)
  assert.equal(stdout, 'hello world')
  assert.deepEqual([taken['src/main.ts'], taken['src/listed.ts']], ['refused', 'taken'])
})

test('nothing is compiled for another architecture', { skip }, t => {
  const { work, modules, list } = packed(t)
  const compiled = compileStart({ platform: foreign, modules, work, list })
  assert.equal(readFileSync(compiled, 'latin1'), '{}\n')
  const { stdout, taken } = start(modules, compiled)
  assert.equal(stdout, 'hello world')
  assert.deepEqual(Object.values(taken), ['none', 'none', 'none'])
})
