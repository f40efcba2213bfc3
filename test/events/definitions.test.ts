import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import test from 'node:test'
import { AUDIT_RECORDS, EVENTS } from '../../src/events/index.ts'

const ROOT = resolve(import.meta.dirname, '../..')

test('every event is documented with its audience, its retention and whether it is audited, and no other is', () => {
  const page = readFileSync(join(ROOT, 'docs', 'events.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `([\w-]+)` \| (\w+) \| (\w+) \| (yes|no) \|/gm)]
  const documented = Object.fromEntries(
    rows.map(([, name, audience, retention, audit]) => [name, { audience, retention, isAudited: audit === 'yes' }])
  )
  assert.deepEqual(documented, { ...EVENTS })
})

test('every record that the audit log writes about itself is documented, and no other is', () => {
  const page = readFileSync(join(ROOT, 'docs', 'audit.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(audit-[\w-]+)` \|/gm)].map(([, name]) => name)
  assert.deepEqual(rows, AUDIT_RECORDS)
})

test('every event is emitted somewhere', () => {
  const src = join(ROOT, 'src')
  const code = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.startsWith('wire/gen'))
    .map(file => readFileSync(join(src, file), 'utf8'))
    .join('\n')
  const silent = Object.keys(EVENTS).filter(name => !new RegExp(`emit\\(\\s*'${name}'`).test(code))
  assert.deepEqual(silent, [])
})
