import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'glossary.md'), 'utf8')
const ENTRY = /^\*\*(.+?)\*\*/

test('the glossary is in the order of the alphabet, and each term leads to a page', () => {
  const entries = PAGE.split('\n\n').filter(text => ENTRY.test(text))
  const terms = entries.map(text => (ENTRY.exec(text)?.[1] ?? '').toLowerCase())
  assert.ok(terms.length > 50)
  assert.deepEqual(
    terms,
    terms.toSorted((one, other) => one.localeCompare(other, 'en'))
  )
  assert.deepEqual(
    entries.filter(text => !/\]\([^)]+\)/.test(text) && !/ · See \*[\w ]+\*\.$/.test(text)),
    []
  )
})
