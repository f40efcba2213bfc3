import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'library.md'), 'utf8')
const EXAMPLES = join(ROOT, 'examples', 'library')

/** As it stands in the page: a program outside of this repository imports the package. */
function asShown(source: string): string {
  return source
    .replaceAll("'../../src/client/index.ts'", "'warren'")
    .replaceAll("'../../src/agent/index.ts'", "'warren/agent'")
}

/** Every name that an `index.ts` exports, types among them. */
function exportsOf(source: string): string[] {
  const lists = [...source.matchAll(/export (?:type )?\{([^}]*)\}/g)].map(([, list = '']) => list)
  return lists
    .flatMap(list => list.split(','))
    .map(name => name.trim().replace(/^type /, ''))
    .filter(name => name !== '')
}

/** The names in the first column of the table below a heading. */
function tableBelow(heading: string): string[] {
  const section = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| `(\w+)` \| \S/gm)].map(([, name = '']) => name)
}

test('every block of code of the page of the library is a file of examples/library, and the other way round', () => {
  const blocks = [...PAGE.matchAll(/^<!-- examples\/library\/([\w-]+\.ts) -->\n```ts\n([\s\S]*?)^```$/gm)]
  assert.equal(blocks.length, [...PAGE.matchAll(/^```ts$/gm)].length, 'a block names no file')
  for (const [, name = '', text] of blocks) {
    assert.equal(text, asShown(readFileSync(join(EXAMPLES, name), 'utf8')), name)
  }
  const files = readdirSync(EXAMPLES).filter(name => name.endsWith('.ts'))
  assert.deepEqual(blocks.map(([, name]) => name).sort(), files.sort())
})

for (const [entry, name] of [
  ['client', 'warren'],
  ['agent', 'warren/agent']
] as const) {
  test(`the page of the library names every export of ${name}, and no other`, async () => {
    const path = join(ROOT, 'src', entry, 'index.ts')
    const exported = exportsOf(readFileSync(path, 'utf8'))
    const values = Object.keys((await import(path)) as object)
    assert.deepEqual(
      values.filter(value => !exported.includes(value)),
      [],
      'an export has a form that this test does not read'
    )
    assert.deepEqual(tableBelow(`All exports of \`${name}\``).sort(), exported.sort())
  })
}
