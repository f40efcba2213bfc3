import assert from 'node:assert/strict'
import test from 'node:test'
import { mayAsk, requireMayAsk } from '../../src/cluster/asking-rights.ts'
import { encodeReceiptQuestion } from '../../src/cluster/receipts/receipt.ts'
import { ErrorCode } from '../../src/core/index.ts'
import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import {
  type AdminGrant,
  type AdminKey,
  type AdminRemoval,
  type Bundle,
  type Content,
  countedSets,
  draftBundle,
  foldSets,
  grantingSets,
  type InForce,
  type Role
} from '../../src/policy/index.ts'

const [ROOT, ANN, BOB, EVE, STRANGER] = Array.from({ length: 5 }, () =>
  peerKeyOf(rawPublicKey(generatePeerKeyPair()))
) as [AdminKey, AdminKey, AdminKey, AdminKey, AdminKey]

const grant = (key: AdminKey, name: string, role: Role): AdminGrant => ({
  id: name,
  key,
  name,
  role,
  scopes: role === 'admin' ? ['dev'] : [],
  reason: '',
  createdAtMs: 1
})
const set = (content: Partial<Content>): Bundle =>
  draftBundle(undefined, { ...content, trustDomain: 'example.org', nowMs: 1 })

/** The founder has added the owner Ann, and she the admin Bob and the observer Eve. */
function inForce(adminRemovals: AdminRemoval[] = []): InForce {
  const versions = new Map([
    [ANN, [set({ admins: [grant(BOB, 'bob', 'admin'), grant(EVE, 'eve', 'observer')] })]],
    [BOB, [set({})]]
  ])
  return foldSets({ rootKey: ROOT, root: set({ admins: [grant(ANN, 'ann', 'owner')], adminRemovals }), versions })
}

const removed = (key: AdminKey): AdminRemoval => ({
  id: 'd1',
  key,
  sequence: 0n,
  sha256: '',
  reason: '',
  createdAtMs: 2
})

/** Who is answered a question about the set of `of`. */
function receiptsFor(policy: InForce, of: AdminKey, signers = [ROOT, ANN, BOB, EVE, STRANGER]): boolean[] {
  const content = encodeReceiptQuestion({ key: of, version: 1n, sha256: '', grantedBy: [] }, ROOT)
  return signers.map(signer => mayAsk(policy, ROOT, { kind: 'receipt', signer, content }))
}

test('an admin with rights asks for receipts of its own changes, and of no others', () => {
  const policy = inForce()
  assert.deepEqual(receiptsFor(policy, ROOT), [true, false, false, false, false])
  assert.deepEqual(receiptsFor(policy, ANN), [false, true, false, false, false])
  assert.deepEqual(receiptsFor(policy, BOB), [false, false, true, false, false])
})

test('no host answers an observer or a stranger who asks for receipts', () => {
  const policy = inForce()
  assert.deepEqual(receiptsFor(policy, EVE), [false, false, false, false, false])
  assert.deepEqual(receiptsFor(policy, STRANGER), [false, false, false, false, false])
  assert.throws(() => requireMayAsk(policy, EVE, 'receipt'), { code: ErrorCode.NotAdmin, reason: /an observer/ })
  assert.throws(() => requireMayAsk(policy, undefined, 'receipt'), { code: ErrorCode.NotAdmin })
})

test('owners and observers ask what hosts see, and an admin of scopes is not answered', () => {
  const policy = inForce()
  const content = new Uint8Array()
  const may = [ROOT, ANN, BOB, EVE, STRANGER].map(signer =>
    mayAsk(policy, ROOT, { kind: 'observation', signer, content })
  )
  assert.deepEqual(may, [true, true, false, true, false])
  requireMayAsk(policy, EVE, 'observation')
  assert.throws(() => requireMayAsk(policy, BOB, 'observation'), { code: ErrorCode.NotAdmin, reason: /has scopes/ })
  assert.throws(() => requireMayAsk(policy, STRANGER, 'observation'), { code: ErrorCode.NotAdmin })
})

test('a removed admin is answered nothing, whatever its role was', () => {
  for (const key of [ANN, BOB])
    assert.deepEqual(receiptsFor(inForce([removed(key)]), key), [false, false, false, false, false])
  const policy = inForce([removed(ANN)])
  assert.equal(mayAsk(policy, ROOT, { kind: 'observation', signer: ANN, content: new Uint8Array() }), false)
  for (const kind of ['receipt', 'observation'] as const)
    assert.throws(() => requireMayAsk(policy, ANN, kind), {
      code: ErrorCode.NotAdmin,
      reason: /was removed by founder/
    })
})

test('nobody asks a question of another kind, or with a content that is none', () => {
  const policy = inForce()
  assert.equal(mayAsk(policy, ROOT, { kind: 'acknowledgement', signer: ROOT, content: new Uint8Array() }), false)
  const content = Uint8Array.from([0x1a, 1, 9])
  assert.throws(() => mayAsk(policy, ROOT, { kind: 'receipt', signer: ROOT, content }), {
    code: ErrorCode.MessageMalformed
  })
})

test('the sets that give an admin its rights are those of all owners up to the root', () => {
  const policy = inForce()
  const keys = (of: AdminKey): AdminKey[] => grantingSets(policy, of).map(({ key }) => key)
  assert.deepEqual([keys(ROOT), keys(ANN), keys(BOB)], [[], [ROOT], [ROOT, ANN]])
  assert.deepEqual(
    countedSets(policy).map(({ key }) => key),
    [ROOT, ANN, BOB]
  )
})
