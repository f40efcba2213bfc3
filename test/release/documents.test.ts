import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test, { type TestContext } from 'node:test'
import { withoutDeadLinks } from '../../tools/release/documents.ts'
import { tarball } from '../../tools/release/tarball.ts'
import { layOut } from '../../tools/release/tree.ts'
import { scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const COMMON = { root: ROOT, licenses: 'licences\n', extras: { files: {}, missing: [] }, epochSeconds: 1_700_000_000 }

function standIn(t: TestContext): { readonly executable: string; readonly work: string } {
  const work = scopeOf(t).directory()
  const executable = join(work, 'warren')
  writeFileSync(executable, '#!/bin/sh\n', { mode: 0o755 })
  return { executable, work }
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
}

/** Looks for links by their end alone, so that it finds what a stricter pattern would miss. Titles are a part of the target. */
function linksOf(
  directory: string,
  files: readonly string[] = filesOf(directory)
): ReadonlyArray<{ readonly page: string; readonly target: string }> {
  const pages = files.filter(name => name.endsWith('.md'))
  return pages.flatMap(page =>
    [...readFileSync(join(directory, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target = '']) => ({
      page,
      target
    }))
  )
}

function assertNoDeadLink(directory: string): void {
  const links = linksOf(directory)
  assert.ok(links.length > 100, `only ${links.length} links`)
  assert.deepEqual(
    links.filter(({ page, target }) => {
      const path = join(directory, dirname(page), target)
      return relative(directory, path).startsWith('..') || !existsSync(path)
    }),
    []
  )
}

test('every link in the documents of an archive leads to a file of the archive', t => {
  const { executable, work } = standIn(t)
  const out = scopeOf(t).directory()
  const file = tarball({ ...COMMON, name: 'warren-1.2.3-linux-x64', executable, out, work })
  execFileSync('tar', ['-xzf', join(out, file), '-C', out])
  const archive = join(out, 'warren-1.2.3-linux-x64')
  assertNoDeadLink(archive)
  // By themselves too: install.sh installs them without the README beside them.
  assertNoDeadLink(join(archive, 'docs'))
})

test('every link in the documents of a package leads to a file of the package', t => {
  const { executable, work } = standIn(t)
  const to = join(work, 'tree')
  layOut({ ...COMMON, to, executable, sbom: '{}' })
  assertNoDeadLink(join(to, 'usr', 'share', 'doc', 'warren'))
})

test('every link of a page in the npm package leads to a file of that package', () => {
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly files: string[] }
  const published = files.filter(name => name !== 'dist' && existsSync(join(ROOT, name)) && name !== 'LICENSE')
  const pages = published.flatMap(name =>
    name.endsWith('.md') ? [name] : filesOf(join(ROOT, name)).map(path => join(name, path))
  )
  const outside = linksOf(ROOT, pages).filter(
    ({ page, target }) => !published.includes(join(dirname(page), target).split('/')[0] ?? '')
  )
  assert.deepEqual(outside, [])
})

test('a link to what readers do not have becomes its words and the path in the repository', () => {
  const kept = '[a](b.md#c), [d](#e), [f](https://example.org/), `[x](y`'
  assert.equal(withoutDeadLinks(kept, 'docs/a.md', ['docs', 'docs/b.md']), kept)
  assert.equal(
    withoutDeadLinks('([why](decisions/0001.md#x)) and ![A map](c/m.png) in [all](../docs/)', 'docs/a.md', ['docs']),
    '(why (`docs/decisions/0001.md`)) and Picture: A map (`docs/c/m.png`) in [all](../docs/)'
  )
})
