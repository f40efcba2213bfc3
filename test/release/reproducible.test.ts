import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scopeOf } from '../harness/index.ts'
import { Release, releaseOptions, signingKey } from './support/released.ts'

test('two releases of one commit are the same, byte for byte, whatever the umask of the builder', releaseOptions, t => {
  const scope = scopeOf(t)
  const key = signingKey(scope)
  const sums = ({ directory }: Release): string => readFileSync(join(directory, 'SHA256SUMS'), 'utf8')
  const first = sums(Release.make(scope, key))
  const mask = process.umask(0o077)
  try {
    assert.equal(sums(Release.make(scope, key)), first)
  } finally {
    process.umask(mask)
  }
})
