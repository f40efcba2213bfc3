import assert from 'node:assert/strict'
import test from 'node:test'
import { statementIn } from '../../src/cli/keys/statement.ts'
import { ErrorCode } from '../../src/core/index.ts'
import {
  CONTEXT,
  type Context,
  generatePeerKeyPair,
  inContext,
  parsePattern,
  peerKeyOf,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import { type Bundle, type Content, openSet, sealBundle } from '../../src/policy/index.ts'
import { create, decode, policyPb, toBinary } from '../../src/wire/index.ts'

const KEY = generatePeerKeyPair()
const OWN = peerKeyOf(rawPublicKey(KEY))
const OTHER = generatePeerKeyPair()
const trustDomain = 'example.org'
const NONE = new Uint8Array()

function seal(current: Bundle | undefined, content: Partial<Content>, key = KEY): Bundle {
  const next = { ...content, trustDomain, nowMs: 1_000 }
  const signed = sealBundle(current, next, bytes => sign(key, CONTEXT.policySet, bytes), 'admin')
  return openSet(signed, rawPublicKey(key), trustDomain)
}

const contentOf = ({ signed }: Bundle): Uint8Array => decode(policyPb.SignedBundleSchema, signed, 65_536).bundle

const statement = async (content: Uint8Array, former: Uint8Array = NONE, context: string = CONTEXT.policySet) =>
  await statementIn({ $typeName: 'warren.api.v1.WantedSignature', id: 1n, context, content, former }, OWN)

const rule = (id: string, effect: 'allow' | 'deny', source: string, reason = '') => ({
  id,
  effect,
  source: parsePattern(source),
  destination: parsePattern('dev.db.*.*'),
  protocols: [],
  notBeforeMs: 0,
  untilMs: 0,
  reason,
  createdAtMs: 1
})

test('a person sees everything that the next version states and the former did not, and what it no longer states', async () => {
  const former = seal(undefined, { rules: [rule('r1', 'deny', 'dev.a.*.*')] })
  const next = seal(former, {
    rules: [rule('r2', 'allow', 'dev.b.*.*', 'it\u001b[2Jworks')],
    strict: true,
    admins: [{ id: 'a2', key: OWN, name: 'eve', role: 'owner', scopes: [], reason: '', createdAtMs: 1 }],
    withdrawals: [{ id: 'w2', author: OWN, statement: 'r9', reason: '', createdAtMs: 1 }],
    adminRemovals: [{ id: 'd2', key: OWN, sequence: 0n, sha256: '', reason: '', createdAtMs: 1 }]
  })
  const { bytes, lines } = await statement(contentOf(next), former.signed)
  assert.deepEqual(Buffer.from(bytes), inContext(CONTEXT.policySet, contentOf(next)))
  assert.deepEqual(lines, [
    'version 2 of what you state in example.org',
    '  - rule r1: deny dev.a.*.* -> dev.db.*.*',
    '  + rule r2: allow dev.b.*.* -> dev.db.*.*; reason: "it\\u001b[2Jworks"',
    `  + admin eve: owner, key ${OWN}`,
    `  + removal of the key ${OWN}: nothing of it counts`,
    `  + withdrawal of r9 of ${OWN}`,
    '  + entries are strict'
  ])
})

test('a command signs sets and questions of admins, and nothing else that an agent wants signed', async () => {
  const set = contentOf(seal(undefined, { strict: true }))
  for (const context of [...Object.values(CONTEXT), '', 'ssh', 'SSHSIG']) {
    const isOfAdmins = context === CONTEXT.policySet || context === CONTEXT.question
    if (!isOfAdmins) await assert.rejects(statement(set, NONE, context), { code: ErrorCode.MessageMalformed })
  }
  // A login begins with the length of a session id, other signatures of SSH with "SSHSIG".
  const login = Buffer.concat([Buffer.from([0, 0, 0, 32]), Buffer.alloc(32), Buffer.of(50)])
  for (const content of [login, Buffer.from('SSHSIG'), Buffer.of(0xff)]) {
    for (const context of [CONTEXT.policySet, CONTEXT.question])
      await assert.rejects(statement(content, NONE, context), { code: /MESSAGE_MALFORMED|SIGNATURE_INVALID/ })
  }
})

test('no purpose of a signature begins another one, and each begins as no message of SSH does', () => {
  const prefixes = Object.values<Context>(CONTEXT).map(context => inContext(context, NONE))
  for (const [at, prefix] of prefixes.entries()) {
    assert.equal(prefix.subarray(0, 7).toString(), 'warren-')
    assert.ok(prefixes.every((other, index) => index === at || !other.subarray(0, prefix.length).equals(prefix)))
  }
})

test('an agent that leaves out or forges the former version gets no signature', async () => {
  const former = seal(undefined, { rules: [rule('r1', 'deny', 'dev.a.*.*')] })
  const next = contentOf(seal(former, { rules: [] }))
  await assert.rejects(
    statement(next),
    { code: ErrorCode.MessageMalformed },
    'it would look as if nothing were removed'
  )
  const forged = seal(undefined, {}, OTHER)
  await assert.rejects(statement(next, forged.signed), { code: ErrorCode.SignatureInvalid })
  const skipped = contentOf(seal(seal(former, {}), { rules: [] }))
  await assert.rejects(statement(skipped, former.signed), { code: ErrorCode.MessageMalformed })
})

test('a statement with something that this program cannot show is not signed', async () => {
  const content = contentOf(seal(undefined, { rules: [rule('r1', 'deny', 'dev.a.*.*')] }))
  await statement(content)
  // A field of a later program, and a role of one.
  const later = Buffer.concat([content, Buffer.from([0xfa, 0x01, 0x01, 0x2a])])
  await assert.rejects(statement(later), { code: ErrorCode.MessageMalformed, reason: /does not know/ })
  const bundle = decode(policyPb.BundleSchema, content, 65_536)
  const grant = { id: 'a1', key: rawPublicKey(KEY), name: 'eve', role: 99 as policyPb.Role, createdAtMs: 1n }
  bundle.admins.push(create(policyPb.AdminGrantSchema, grant))
  await assert.rejects(statement(toBinary(policyPb.BundleSchema, bundle)), { code: ErrorCode.MessageMalformed })
})
