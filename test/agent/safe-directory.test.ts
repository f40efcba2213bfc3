import assert from 'node:assert/strict'
import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { WarrenError } from '../../src/core/index.ts'
import { requireSafeDirectory } from '../../src/declared/safe-directory.ts'
import { asRoot, scopeOf } from '../harness/index.ts'

const OTHER = 4_711

function refusal(path: string, reason: RegExp): void {
  assert.throws(
    () => requireSafeDirectory(path, OTHER),
    (err: WarrenError) => {
      assert.equal(err.code, 'PERMISSION_DENIED')
      assert.match(err.reason, reason)
      return true
    }
  )
}

test('no directory and no link on the way to a socket of another user may be his, wherever it leads now', asRoot, t => {
  const base = scopeOf(t).directory()
  const [safe, his, shared] = ['safe', 'his', 'shared'].map(name => join(base, name)) as [string, string, string]
  for (const path of [safe, his, shared]) mkdirSync(path)
  chmodSync(base, 0o755)
  chownSync(his, OTHER, OTHER)
  chmodSync(shared, 0o1777)
  const link = (path: string, target: string, uid: number): string => {
    symlinkSync(target, path)
    lchownSync(path, uid, uid)
    return path
  }
  requireSafeDirectory(join(safe, 's.sock'), OTHER)
  requireSafeDirectory(join(shared, 's.sock'), OTHER)
  requireSafeDirectory(join(link(join(base, 'link'), 'safe', 0), 's.sock'), OTHER)

  refusal(join(link(join(his, 'link'), safe, OTHER), 's.sock'), /^uid 4711 can change .*\/his, where/)
  refusal(join(link(join(his, 'roots'), safe, 0), 's.sock'), /^uid 4711 can change .*\/his, where/)
  refusal(join(link(join(shared, 'link'), safe, OTHER), 's.sock'), /^uid 4711 can change .*\/shared\/link, a link/)
  refusal(join(link(join(base, 'over'), join(his, 'link'), 0), 's.sock'), /^uid 4711 can change .*\/his, where/)
  refusal(join(his, '..', 'safe', 's.sock').replace('/safe/', '/his/../safe/'), /^uid 4711 can change .*\/his, where/)
  const before = process.cwd()
  process.chdir(his)
  try {
    refusal('s.sock', /^uid 4711 can change .*\/his, where/)
  } finally {
    process.chdir(before)
  }
  chmodSync(safe, 0o777)
  refusal(join(safe, 's.sock'), /^other users can change .*\/safe, where/)

  link(join(base, 'round'), join(base, 'round'), 0)
  assert.throws(() => requireSafeDirectory(join(base, 'round', 's.sock'), OTHER), /cannot listen on/)
  assert.throws(() => requireSafeDirectory(join(base, 'none', 's.sock'), OTHER), /cannot listen on/)
})
