import assert from 'node:assert/strict'
import test from 'node:test'
import { type AuditToSearch, auditFor } from '../../src/api/services/audit-question.ts'
import { ErrorCode } from '../../src/core/index.ts'
import type { AdminKey, InForce } from '../../src/policy/index.ts'
import { adminPb, create } from '../../src/wire/index.ts'
import { BOB, EVE, inForce, ROOT, STRANGER } from './asking-support.ts'

const NEVER = new AbortController().signal

const LINES = [
  { seq: 1, at: '2026-01-01T00:00:00.000Z', event: 'rule-changed', fields: { change: 'allow', subject: 's', uid: 0 } },
  {
    seq: 2,
    at: '2026-01-01T00:00:01.000Z',
    event: 'flow-refused',
    fields: { source: 'dev.a.b.c.d', reason: 'uid 7 has it', code: 'DENIED', sourceProcess: { uid: 7, pid: 1 } }
  }
]
const LOG: AuditToSearch = {
  newest: async ({ view }) => {
    const values = LINES.flatMap(line => view(line) ?? []).map(({ value }) => value)
    return { values, total: values.length, searchedFromMs: undefined }
  }
}

async function read(policy: InForce, signer: AdminKey | undefined, audit?: AuditToSearch): Promise<string[]> {
  const deps = { policy: { sets: { inForce: policy, ownKey: STRANGER } }, audit } as unknown as Parameters<
    typeof auditFor
  >[0]
  const { records = [] } = await auditFor(deps, create(adminPb.AuditQuestionSchema), signer, NEVER)
  return records.map(({ name, fields }) => `${name} ${fields}`)
}

test('each role gets its fields of an audit log, by the policy of the host that answers', async () => {
  const refusal = 'flow-refused {"source":"dev.a.b.c.d","code":"DENIED"}'
  assert.deepEqual(await read(inForce(), EVE, LOG), [refusal])
  assert.deepEqual(await read(inForce(), ROOT, LOG), [
    'rule-changed {"change":"allow","subject":"s"}',
    'flow-refused {"source":"dev.a.b.c.d","reason":"uid 7 has it","code":"DENIED"}'
  ])
})

test('nobody else gets any of it: an admin of scopes, a stranger, an observer that was removed while it asked', async () => {
  for (const [policy, signer] of [
    [inForce(), BOB],
    [inForce(), STRANGER],
    [inForce(), undefined],
    [inForce([EVE]), EVE]
  ] as const)
    await assert.rejects(read(policy, signer, LOG), { code: ErrorCode.NotAdmin })
})

test('a host without an audit log says so, to those who may ask', async () => {
  await assert.rejects(read(inForce(), EVE), { code: ErrorCode.NotFound, reason: /it has no audit log/ })
  await assert.rejects(read(inForce(), STRANGER), { code: ErrorCode.NotAdmin })
})
