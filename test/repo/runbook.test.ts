import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ErrorCode } from '../../src/core/index.ts'

const DOCS = join(import.meta.dirname, '..', '..', 'docs')
const page = (name: string): string => readFileSync(join(DOCS, name), 'utf8')

/** The anchor of a heading, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-')

test('the runbook says what to do about every error code, and so does the page of errors', () => {
  const codes: string[] = Object.values(ErrorCode)
  assert.ok(codes.length > 30)
  for (const name of ['runbook.md', 'errors.md']) {
    const text = page(name)
    assert.deepEqual(
      codes.filter(code => !text.includes(`\`${code}`)),
      [],
      name
    )
  }
})

test('every link to a heading in the pages for operators leads to one', () => {
  const pages = ['install', 'operations', 'runbook', 'certificates', 'backup', 'upgrade', 'workloads', 'agent', 'faq']
  const dead = pages.flatMap(name => {
    const links = [...page(`${name}.md`).matchAll(/\]\(([\w./-]*\.md)?#([\w-]+)\)/g)]
    return links.filter(([, file = `${name}.md`, heading]) => {
      const headings = [...readFileSync(join(DOCS, file), 'utf8').matchAll(/^#+ (.*)$/gm)]
      return !headings.some(([, text = '']) => anchor(text) === heading)
    })
  })
  assert.deepEqual(
    dead.map(([link]) => link),
    []
  )
})
