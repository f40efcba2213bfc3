import assert from 'node:assert/strict'
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { GENERATED, staleFiles } from '../../tools/generated.ts'

const ROOT = join(import.meta.dirname, '..', '..')

test('generated code that does not match its protocol is caught', () => {
  const root = mkdtempSync(join(tmpdir(), 'warren-stale-'))
  try {
    for (const name of ['protocols', 'buf.yaml', 'buf.gen.yaml', GENERATED]) {
      cpSync(join(ROOT, name), join(root, name), { recursive: true })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
    appendFileSync(join(root, 'protocols/warren/policy/v1/policy.proto'), '\nmessage Planted {}\n')
    const stem = join('warren', 'policy', 'v1', 'policy_pb')
    // No other: what was committed is current.
    assert.deepEqual(staleFiles(root), [`${stem}.d.ts`, `${stem}.js`])
  } finally {
    rmSync(root, { recursive: true })
  }
})
