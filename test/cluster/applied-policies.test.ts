import assert from 'node:assert/strict'
import test from 'node:test'
import { AppliedPolicies } from '../../src/cluster/receipts/applied-policies.ts'
import type { AskedSet } from '../../src/cluster/receipts/receipt.ts'
import type { AdminKey, SetVersion } from '../../src/policy/index.ts'

const NONE = { flowsCut: 0, registrationsEnded: 0, failed: [] }
const HASH = (version: bigint): string => String(version).padStart(64, '0')

const [ROOT, BOB, ANN] = ['root', 'bob', 'ann'] as [AdminKey, AdminKey, AdminKey]
/** A question about a version of the set of the root. */
const asks = (version: bigint, sha256 = '', key = ROOT, grantedBy: AskedSet['grantedBy'] = []): AskedSet => ({
  key,
  version,
  sha256,
  grantedBy
})

/** The policies of a host, whose clock shows the version of the root's set times ten. */
function host() {
  const sets = new Map<AdminKey, SetVersion>()
  const put = (version: bigint, key = ROOT): void => void sets.set(key, { key, version, sha256: HASH(version) })
  const applied = new AppliedPolicies({
    rootKey: ROOT,
    sets: () => [...sets.values()],
    clock: { wallMs: () => Number(sets.get(ROOT)?.version ?? 0n) * 10 }
  })
  return {
    applied,
    /** The version is in force, and its enforcement begins. */
    begin: (version: bigint, key = ROOT) => {
      put(version, key)
      return applied.begin()
    },
    load: put,
    drop: (key: AdminKey) => sets.delete(key)
  }
}

test('a receipt is given once enforcement has ended, and not before', () => {
  const { applied, begin } = host()
  const asked = asks(2n, HASH(2n))
  assert.equal(applied.receiptFor(asked), undefined)
  const end = begin(2n)
  assert.equal(applied.receiptFor(asked), undefined, 'the version is stored, and flows of it may still pass')
  end({ flowsCut: 3, registrationsEnded: 1, failed: [] })
  assert.deepEqual(applied.receiptFor(asked), {
    state: 'applied',
    version: 2n,
    sha256: HASH(2n),
    flowsCut: 3,
    registrationsEnded: 1,
    appliedAtMs: 20,
    problem: ''
  })
})

test('a later version is a receipt for the one before, as soon as one of them is applied', () => {
  const { applied, begin } = host()
  const [endSecond, endThird] = [begin(2n), begin(3n)]
  endThird({ ...NONE, flowsCut: 1 })
  assert.equal(applied.receiptFor(asks(2n))?.version, 3n)
  endSecond({ ...NONE, flowsCut: 5 })
  assert.equal(applied.receiptFor(asks(2n))?.flowsCut, 5)
})

test('a version that was loaded at the start is applied: there was no flow before it', () => {
  const { applied, load } = host()
  load(7n)
  const receipt = applied.receiptFor(asks(7n, HASH(7n)))
  assert.deepEqual([receipt?.state, receipt?.appliedAtMs], ['applied', 0])
})

test('nobody says that a version is applied whose enforcement failed, that breaks its invariants, or that is another one', () => {
  const { applied, begin } = host()
  begin(2n)({ ...NONE, failed: ['flows', 'registrations'] })
  assert.deepEqual(
    [applied.receiptFor(asks(2n))?.state, applied.receiptFor(asks(2n))?.problem],
    ['failed', 'flows, registrations failed; the log of the host says why']
  )
  assert.equal(applied.receiptFor(asks(2n, HASH(9n)))?.state, 'refused')
  applied.refused(3n, 'never dev.a.*.* -> dev.b.*.* does not hold')
  const refusal = applied.receiptFor(asks(3n, HASH(3n)))
  assert.deepEqual([refusal?.state, refusal?.version], ['refused', 2n])
  begin(4n)(NONE)
  assert.equal(applied.receiptFor(asks(2n))?.state, 'applied', 'a later version has made up for it')
})

test('what the same version cuts later, when a rule ends by its dates, is added', () => {
  const { applied, begin } = host()
  begin(2n)({ ...NONE, flowsCut: 2 })
  begin(2n)({ ...NONE, flowsCut: 1 })
  assert.equal(applied.receiptFor(asks(2n))?.flowsCut, 3)
})

test('a receipt of an admin waits for the set of that admin, and what other admins change is none', () => {
  const { applied, begin } = host()
  begin(2n)(NONE)
  const asked = asks(1n, HASH(1n), BOB)
  assert.equal(applied.receiptFor(asked), undefined)
  begin(3n)({ ...NONE, flowsCut: 9 })
  assert.equal(applied.receiptFor(asked), undefined)
  const end = begin(1n, BOB)
  assert.equal(applied.receiptFor(asked), undefined, 'its enforcement runs')
  end({ ...NONE, flowsCut: 2 })
  const receipt = applied.receiptFor(asked)
  assert.deepEqual([receipt?.state, receipt?.version, receipt?.flowsCut], ['applied', 1n, 2])
  assert.equal(applied.receiptFor(asks(3n))?.flowsCut, 9)
})

test('a set is not applied before the sets that give its admin the rights are', () => {
  const { applied, begin } = host()
  begin(2n)(NONE)
  begin(1n, BOB)(NONE)
  const asked = asks(1n, '', BOB, [
    { key: ROOT, version: 2n },
    { key: ANN, version: 4n }
  ])
  assert.equal(applied.lacks(asked), true)
  assert.equal(applied.receiptFor(asked), undefined)
  const end = begin(4n, ANN)
  assert.equal(applied.lacks(asked), false)
  assert.equal(applied.receiptFor(asked), undefined, 'until then the statements of bob have no effect')
  end({ ...NONE, failed: ['flows'] })
  assert.deepEqual(
    [applied.receiptFor(asked)?.state, applied.receiptFor(asked)?.problem],
    ['failed', 'flows failed; the log of the host says why']
  )
  begin(5n, ANN)(NONE)
  assert.equal(applied.receiptFor(asked)?.state, 'applied')
})

test('a failure of one change takes nothing back of another admin, and a later success makes up for it', () => {
  const { applied, begin } = host()
  begin(1n, BOB)({ ...NONE, flowsCut: 3 })
  begin(2n)({ ...NONE, failed: ['flows'] })
  assert.deepEqual(
    [applied.receiptFor(asks(1n, '', BOB))?.state, applied.receiptFor(asks(2n))?.state],
    ['applied', 'failed']
  )
  begin(2n, BOB)({ ...NONE, flowsCut: 1 })
  assert.equal(applied.receiptFor(asks(2n))?.state, 'applied')
  assert.equal(applied.receiptFor(asks(2n))?.flowsCut, 0)
})

test('of two sets of one version, a receipt is for the one that counts', () => {
  const { applied, begin } = host()
  begin(2n, BOB)(NONE)
  assert.equal(applied.receiptFor(asks(2n, HASH(1n), BOB)), undefined, 'the lower hash is on its way')
  assert.equal(applied.receiptFor(asks(2n, HASH(3n), BOB))?.state, 'refused')
})

test('no receipt is given for a set that no longer counts', () => {
  const { applied, begin, drop } = host()
  begin(2n)(NONE)
  begin(1n, BOB)(NONE)
  drop(BOB)
  applied.begin()(NONE)
  assert.equal(applied.receiptFor(asks(1n, '', BOB)), undefined)
})
