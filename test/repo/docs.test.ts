import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGES = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'].map(name => join(ROOT, name)),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join(ROOT, 'docs', name))
]

/** Everything in any page that matches, as "page: match". */
function found(pattern: RegExp): ReadonlyArray<readonly [page: string, match: string]> {
  return PAGES.flatMap(page =>
    [...readFileSync(page, 'utf8').matchAll(pattern)].map(match => [page, match[1] ?? ''] as const)
  )
}

test('every link to a file of the repository leads somewhere', () => {
  const links = found(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)
  assert.ok(links.length > 10)
  const dead = links.filter(([page, link]) => !existsSync(join(dirname(page), link)))
  assert.deepEqual(
    dead.map(([page, link]) => `${relative(ROOT, page)}: ${link}`),
    []
  )
})

test('every npm verb that is written about exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }
  const unknown = found(/npm run ([a-z:]+)/g).filter(([, verb]) => !(verb in scripts))
  assert.deepEqual(unknown, [])
})

test('every file of the repository that is named in a page exists', () => {
  const named = found(/`((?:src|test|tools|docs|protocols|bench|examples)\/[\w./-]*)`/g)
  const missing = named.filter(([, path]) => !existsSync(join(ROOT, path)))
  assert.deepEqual(
    missing.map(([page, path]) => `${relative(ROOT, page)}: ${path}`),
    []
  )
})

test('every decision is in the list of decisions', () => {
  const folder = join(ROOT, 'docs', 'decisions')
  const list = readFileSync(join(folder, 'README.md'), 'utf8')
  const pages = readdirSync(folder).filter(name => /^\d{4}-/.test(name))
  assert.deepEqual(
    pages.filter(name => !list.includes(`(${name})`)),
    []
  )
})

/** What a reader takes in at once: a paragraph, or one entry of a list. Tables, headings and code are none. */
function paragraphs(text: string): readonly string[] {
  return text
    .replace(/^ *```[\s\S]*?^ *```/gm, '')
    .replace(/^ {4}.*$/gm, '')
    .split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )/)
    .map(paragraph => paragraph.trim())
    .filter(paragraph => !/^[|#]/.test(paragraph))
}

test('no paragraph of a page is longer than 80 words', () => {
  const pages = PAGES.filter(page => !page.endsWith('CHANGELOG.md'))
  const all = pages.flatMap(page => paragraphs(readFileSync(page, 'utf8')).map(text => ({ page, text })))
  assert.ok(all.length > 500)
  assert.deepEqual(
    all
      .map(({ page, text }) => ({ page, words: text.split(/\s+/).length, text }))
      .filter(({ words }) => words > 80)
      .map(({ page, words, text }) => `${relative(ROOT, page)}: ${words} words: ${text.slice(0, 50)}`),
    []
  )
})
