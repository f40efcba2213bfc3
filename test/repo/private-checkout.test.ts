import assert from 'node:assert/strict'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, Program, scopeOf } from '../harness/index.ts'

const ROOT = join(import.meta.dirname, '..', '..')

// As for a newcomer: root clones into /root, whose mode is 0700.
test('in a checkout that only root may enter, what tests run as other users is found by them', asRoot, async t => {
  const scope = scopeOf(t)
  const home = scope.directory()
  chmodSync(home, 0o700)
  const [checkout, temporary] = [join(home, 'warren'), join(home, 'tmp')]
  for (const path of [checkout, temporary]) mkdirSync(path)
  const script = `
    umask 077
    mount --make-rprivate / && mount --bind "$0" "$1" && cd "$1" || exit 1
    exec node_modules/.bin/node --test test/integration/other-user.test.ts`
  // A runner of its own, with a directory for temporary files that is as private, and no home.
  const env = { NODE_TEST_CONTEXT: undefined, TMPDIR: temporary, HOME: undefined }
  const tests = new Program(scope, ['unshare', '--mount', '/bin/sh', '-c', script, ROOT, checkout], { env })
  const { code, stdout, stderr } = await tests.outcome(180_000)
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /^. skipped 0$/m)
})
