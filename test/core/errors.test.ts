import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'

test('docs/errors.md documents every code, and no other', () => {
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const documented = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(match => match[1])
  assert.deepEqual([...documented].sort(), Object.values(ErrorCode).sort())
})

test('an error is known by its code, also across two copies of the class', () => {
  const foreign = Object.assign(new Error('x'), { name: 'WarrenError', code: ErrorCode.Timeout })
  assert.ok(WarrenError.is(foreign, ErrorCode.Timeout))
  assert.ok(!WarrenError.is(new Error('x'), ErrorCode.Timeout))
  assert.equal(WarrenError.from(new Error('boom')).code, ErrorCode.Internal)
})
