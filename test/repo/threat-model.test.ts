import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'threat-model.md'), 'utf8')

/** The names of the tests of a file, as patterns: a part that is filled in when it runs stands for anything. */
function testsIn(file: string): RegExp[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
  const names = source.matchAll(/\b(?:test|it)\(\s*(['"`])((?:\\.|(?!\1).)+)\1\s*,/g)
  return [...names].map(([, , name = '']) => {
    const parts = name.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/).map(part => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    return new RegExp(`^${parts.join('.+')}$`)
  })
}

interface Row {
  readonly text: string
  readonly tests: ReadonlyArray<readonly [file: string, name: string]>
  readonly sources: readonly string[]
}

const rows: readonly Row[] = PAGE.split('\n')
  .filter(line => line.startsWith('| ') && !line.startsWith('| must not'))
  .map(line => {
    const [, text = '', where = '', shown = ''] = line.split('|')
    return {
      text: text.trim(),
      sources: [...where.matchAll(/`((?:src|packaging|tools)\/[^`]+)`/g)].map(([, path = '']) => path),
      tests: [...shown.matchAll(/`(test\/[^`]+)`: “([^”]+)”/g)].map(([, file = '', name = '']) => [file, name] as const)
    }
  })

test('every row of the threat model says where it is prevented, and names a test', () => {
  assert.ok(rows.length >= 35, `${rows.length} rows`)
  for (const { text, sources, tests } of rows) {
    assert.ok(tests.length > 0, `"${text}" names no test`)
    assert.ok(sources.length > 0, `"${text}" names no file`)
    for (const path of sources) assert.ok(existsSync(join(ROOT, path)), `"${text}": ${path} does not exist`)
  }
})

test('every test that the threat model names exists', () => {
  const missing = rows.flatMap(({ tests }) =>
    tests.filter(([file, name]) => !existsSync(join(ROOT, file)) || !testsIn(file).some(pattern => pattern.test(name)))
  )
  assert.deepEqual(missing, [])
})
