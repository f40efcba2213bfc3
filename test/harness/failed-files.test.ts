import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf } from './index.ts'

const REPORTER = join(import.meta.dirname, 'failed-files.ts')
const FILES = {
  'passes.mjs': `import test from 'node:test'; test('a', () => {})`,
  'fails.mjs': `import test from 'node:test'; test('a', () => { throw new Error('x') }); test('b', () => { throw new Error('y') })`,
  'fails-within.mjs': `import test from 'node:test'; test('a', async t => { await t.test('b', () => { throw new Error('x') }) })`,
  'ends.mjs': `process.exit(3)`,
  'todo.mjs': `import test from 'node:test'; test('a', { todo: true }, () => { throw new Error('x') })`
}

test('the files with a failed test are named once each, and those that ended without a test', t => {
  const directory = scopeOf(t).directory()
  const files = Object.entries(FILES).map(([name, text]) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  })
  const named = join(directory, 'named')
  const flags = ['--test', `--test-reporter=${REPORTER}`, `--test-reporter-destination=${named}`]
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { status } = spawnSync(process.execPath, [...flags, ...files], { env })
  assert.equal(status, 1)
  const expected = ['ends.mjs', 'fails-within.mjs', 'fails.mjs'].map(name => join(directory, name))
  assert.deepEqual(readFileSync(named, 'utf8').trimEnd().split('\n').sort(), expected)
})
