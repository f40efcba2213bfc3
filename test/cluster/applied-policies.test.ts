import assert from 'node:assert/strict'
import test from 'node:test'
import { AppliedPolicies } from '../../src/cluster/receipts/applied-policies.ts'

const NONE = { flowsCut: 0, registrationsEnded: 0, failed: [] }
const HASH = (version: bigint): string => String(version).padStart(64, '0')

/** The policies of a host, whose clock shows the version times ten. */
function host() {
  let bundle: { version: bigint; sha256: string } | undefined
  const applied = new AppliedPolicies({
    bundle: () => bundle,
    clock: { wallMs: () => Number(bundle?.version ?? 0n) * 10 }
  })
  return {
    applied,
    /** The version is in force, and its enforcement begins. */
    begin: (version: bigint) => {
      bundle = { version, sha256: HASH(version) }
      return applied.begin()
    },
    load: (version: bigint) => {
      bundle = { version, sha256: HASH(version) }
    }
  }
}

test('a receipt is given once enforcement has ended, and not before', () => {
  const { applied, begin } = host()
  const asked = { version: 2n, sha256: HASH(2n) }
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
  assert.equal(applied.receiptFor({ version: 2n, sha256: '' })?.version, 3n)
  endSecond({ ...NONE, flowsCut: 5 })
  assert.equal(applied.receiptFor({ version: 2n, sha256: '' })?.flowsCut, 5)
})

test('a version that was loaded at the start is applied: there was no flow before it', () => {
  const { applied, load } = host()
  load(7n)
  const receipt = applied.receiptFor({ version: 7n, sha256: HASH(7n) })
  assert.deepEqual([receipt?.state, receipt?.appliedAtMs], ['applied', 0])
})

test('nobody says that a version is applied whose enforcement failed, that breaks its invariants, or that is another one', () => {
  const { applied, begin } = host()
  begin(2n)({ ...NONE, failed: ['flows', 'registrations'] })
  assert.deepEqual(
    [applied.receiptFor({ version: 2n, sha256: '' })?.state, applied.receiptFor({ version: 2n, sha256: '' })?.problem],
    ['failed', 'flows, registrations failed; the log of the host says why']
  )
  assert.equal(applied.receiptFor({ version: 2n, sha256: HASH(9n) })?.state, 'refused')
  applied.refused(3n, 'never dev.a.*.* -> dev.b.*.* does not hold')
  const refusal = applied.receiptFor({ version: 3n, sha256: HASH(3n) })
  assert.deepEqual([refusal?.state, refusal?.version], ['refused', 2n])
  begin(4n)(NONE)
  assert.equal(applied.receiptFor({ version: 2n, sha256: '' })?.state, 'applied', 'a later version has made up for it')
})

test('what the same version cuts later, when a rule ends by its dates, is added', () => {
  const { applied, begin } = host()
  begin(2n)({ ...NONE, flowsCut: 2 })
  begin(2n)({ ...NONE, flowsCut: 1 })
  assert.equal(applied.receiptFor({ version: 2n, sha256: '' })?.flowsCut, 3)
})
