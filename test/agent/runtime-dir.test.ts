import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openRuntimeDirs } from '../../src/agent/runtime-dir.ts'
import { ErrorCode, tryLock } from '../../src/core/index.ts'
import { scopeOf } from '../harness/index.ts'

test('a directory for containers is one of its own in the runtime directory', async t => {
  const base = scopeOf(t).directory()
  const runtimeDir = join(base, 'r')
  for (const shareDir of [
    runtimeDir,
    base,
    join(base, 'share'),
    join(runtimeDir, 'w'),
    join(runtimeDir, 'endpoints'),
    join(runtimeDir, 'a', 'b')
  ]) {
    await assert.rejects(openRuntimeDirs({ runtimeDir, shareDir }), {
      code: ErrorCode.InvalidOption,
      reason: /is no directory of its own in the runtime directory/,
      hint: new RegExp(`--share ${join(runtimeDir, 'share')}`)
    })
    assert.deepEqual(readdirSync(base), [], 'nothing is made')
  }
})

test('the directory for containers has no lock that a container could hold, and is kept by that of the runtime directory', async t => {
  const runtimeDir = join(scopeOf(t).directory(), 'r')
  const dirs = { runtimeDir, shareDir: join(runtimeDir, 'share') }
  const first = await openRuntimeDirs(dirs)
  assert.equal(first.listenDir, join(dirs.shareDir, 'w'))
  assert.deepEqual(readdirSync(dirs.shareDir), ['w'])
  await assert.rejects(openRuntimeDirs(dirs), { code: ErrorCode.AlreadyExists })
  // All that a container can open there.
  for (const path of [dirs.shareDir, first.listenDir]) {
    const file = openSync(path, 'r')
    t.after(() => closeSync(file))
    assert.ok(await tryLock(file))
  }
  first.release()
  const next = await openRuntimeDirs(dirs)
  next.release()
  assert.ok(existsSync(dirs.shareDir))
})
