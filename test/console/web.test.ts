import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { webFiles } from '../../src/console/web-files.ts'
import { webCode } from '../../tools/web-files.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const WEB = join(ROOT, 'src', 'console', 'web')
const MODULES = readdirSync(WEB, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))

test('no page makes HTML, a style or a script of a text', () => {
  assert.ok(MODULES.length > 15)
  const banned =
    /innerHTML|outerHTML|insertAdjacent|dangerouslySet|document\.write|\beval\b|new Function|javascript:|srcdoc/
  for (const name of MODULES) assert.doesNotMatch(readFileSync(join(WEB, name), 'utf8'), banned, name)
})

test('pages import nothing but each other, one package, and types of what the server sends', () => {
  for (const name of MODULES) {
    const text = readFileSync(join(WEB, name), 'utf8')
    assert.ok(text.split('\n').length <= 300, name)
    for (const [statement, from = ''] of text.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)'/gm)) {
      const isOfServer = from.endsWith('/shapes.ts') && statement.startsWith('import type')
      const isOwn = from.startsWith('.') && !from.startsWith('../..') && !from.endsWith('/shapes.ts')
      assert.ok(isOwn || isOfServer || name === 'preact.ts', `${name}: ${from}`)
    }
  }
})

test('a checkout serves each module without its types, and what is published has the same pages in one script', async () => {
  const files = webFiles()
  assert.equal(files.size, MODULES.length + 3)
  for (const [path, { type, body }] of files) {
    if (!type.startsWith('text/javascript')) continue
    assert.doesNotMatch(body, /^import type|^export interface/m, path)
    for (const [, from = ''] of body.matchAll(/^import .*? from '([^']+)'/gm)) assert.match(from, /^\.\.?\//, path)
  }
  const code = webCode(ROOT, 'src/console/web-files.ts') ?? ''
  const bundled = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { webFiles: typeof webFiles }
  assert.deepEqual([...bundled.webFiles().keys()].sort(), ['/', '/icon.svg', '/main.js', '/style.css'])
  const [own, other] = [files, bundled.webFiles()].map(some => some.get('/')?.body)
  assert.equal(own, other)
})
