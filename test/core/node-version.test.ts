import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireNode } from '../../src/core/index.ts'
import { scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')

test('a Node that is too old is refused by a sentence that names both versions', () => {
  requireNode(22, 'the library', '22.0.0')
  requireNode(22, 'the library', '26.10.0-nightly')
  const refused = { code: 'UNSUPPORTED', message: 'UNSUPPORTED: the library needs Node 22 or later, this is 21.7.3' }
  assert.throws(() => requireNode(22, 'the library', '21.7.3'), refused)
})

test('a program on a Node before 22 that imports the library is told so, and gets no error of syntax', t => {
  const old = ['/usr/bin/node', '/usr/local/bin/node'].find(isOld)
  if (old === undefined) return t.skip('needs a Node before 22 in /usr')
  const dist = join(scopeOf(t).directory(), 'dist')
  execFileSync(process.execPath, [join(ROOT, 'tools', 'build.ts'), '--code', '--out', dist], { stdio: 'pipe' })
  const program = `import(${JSON.stringify(join(dist, 'client', 'index.js'))}).catch(err => console.log(err.message))`
  const printed = execFileSync(old, ['--input-type=module', '--eval', program], { encoding: 'utf8' })
  assert.match(printed, /^UNSUPPORTED: the library of warren needs Node 22 or later, this is \d+\.\d+\.\d+\n$/)
})

function isOld(path: string): boolean {
  try {
    return Number.parseInt(execFileSync(path, ['--version'], { encoding: 'utf8' }).slice(1), 10) < 22
  } catch {
    return false
  }
}
