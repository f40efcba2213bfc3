import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  followSuccession,
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueRoot,
  openSuccession,
  openSuccessor,
  openTrustBundle,
  parseCertificate,
  pinBetween,
  rawPublicKey,
  signTrustBundle
} from '../../src/identity/index.ts'
import { code } from './authority.ts'
import { NOW_MS, TRUST_DOMAIN } from './domain.ts'

async function makeRoot(): Promise<Issuer> {
  const key = generateSigningKeyPair()
  return { certificate: await issueRoot({ trustDomain: TRUST_DOMAIN, key, nowMs: NOW_MS }), key }
}

const [r0, r1, r2, r3, evil] = (await Promise.all(Array.from({ length: 5 }, makeRoot))) as [
  Issuer,
  Issuer,
  Issuer,
  Issuer,
  Issuer
]
const adminPublicKey = rawPublicKey(generatePeerKeyPair())
const pinOf = ({ certificate }: Issuer): string => parseCertificate(certificate).sha256

interface OpenRequest {
  readonly adminPublicKey?: Uint8Array
  readonly trustDomain?: string
}

function bundle(
  version: number,
  roots: readonly Issuer[],
  signers: readonly Issuer[],
  request: OpenRequest = {}
): Uint8Array {
  const content = { trustDomain: TRUST_DOMAIN, adminPublicKey, nowMs: NOW_MS, ...request }
  const ders = roots.map(({ certificate }) => certificate)
  return signTrustBundle({ ...content, version: BigInt(version), roots: ders }, signers)
}

/** Three rotations, one after another, as `warren root rotate` makes them. */
const CHAIN = [
  bundle(1, [r0], [r0]),
  bundle(2, [r0, r1], [r0, r1]),
  bundle(3, [r1], [r0, r1]),
  bundle(4, [r1, r2], [r1, r2]),
  bundle(5, [r2], [r1, r2]),
  bundle(6, [r2, r3], [r2, r3]),
  bundle(7, [r3], [r2, r3])
]
const first = openTrustBundle(CHAIN[0] as Uint8Array, pinOf(r0))

describe('a trust bundle that follows another', () => {
  it('is signed by each of its roots and by one that was trusted, newer, of the same domain and admin key', () => {
    assert.equal(openSuccessor(bundle(2, [r0, r1], [r0, r1]), first).roots.length, 2)
    const invalid = [
      bundle(2, [r0, r1], [r0]),
      bundle(2, [r0, r1], [r1]),
      bundle(2, [evil], [evil]),
      bundle(2, [evil], [r0]),
      bundle(2, [r0, evil], [r0, { ...evil, key: r0.key }]),
      bundle(2, [r0, evil], [{ ...r0, key: evil.key }, evil])
    ]
    for (const [at, signed] of invalid.entries()) {
      assert.throws(() => openSuccessor(signed, first), code('SIGNATURE_INVALID'), `${at}`)
    }
    const malformed = [
      bundle(1, [r0, r1], [r0, r1]),
      bundle(2, [r0], [r0], { adminPublicKey: rawPublicKey(generatePeerKeyPair()) }),
      bundle(2, [r0], [r0], { trustDomain: 'other.org' }),
      bundle(2, [], [r0]),
      bundle(2, [r0, r1, r2, r3, evil], [r0, r1, r2, r3, evil])
    ]
    for (const [at, signed] of malformed.entries()) {
      assert.throws(() => openSuccessor(signed, first), code('MESSAGE_MALFORMED'), `${at}`)
    }
  })

  it('leads whoever missed any of them to the last, and nobody back', () => {
    fc.assert(
      fc.property(fc.nat(CHAIN.length - 1), fc.nat(CHAIN.length - 1), (has, from) => {
        const current = followSuccession(CHAIN.slice(0, has + 1), first).at(-1)?.state ?? first
        const steps = followSuccession(CHAIN.slice(Math.min(from, has + 1)), current)
        assert.equal(steps.length, CHAIN.length - 1 - has)
        const last = steps.at(-1)?.state ?? current
        assert.equal(last.version, 7n)
        assert.deepEqual(
          last.roots.map(({ sha256 }) => sha256),
          [pinOf(r3)]
        )
        assert.deepEqual(followSuccession(CHAIN, last), [])
      })
    )
    // The bundle that drops a root still has its signature.
    assert.equal(openSuccessor(CHAIN[2] as Uint8Array, first).version, 3n)
    assert.throws(() => followSuccession(CHAIN.slice(4), first), code('SIGNATURE_INVALID'))
    assert.throws(() => followSuccession([bundle(2, [evil], [evil])], first), code('SIGNATURE_INVALID'))
  })

  it('is found from the pin of an old join token', () => {
    for (const [pin, from] of [
      [r0, 0],
      [r1, 0],
      [r1, 2],
      [r3, 5]
    ] as const) {
      assert.equal(openSuccession(CHAIN.slice(from), pinOf(pin)).version, 7n)
    }
    assert.throws(() => openSuccession(CHAIN, pinOf(evil)), code('SIGNATURE_INVALID'))
    assert.throws(() => openSuccession(CHAIN.slice(3), pinOf(r0)), code('SIGNATURE_INVALID'))
    assert.throws(() => openSuccession([], pinOf(r0)), code('SIGNATURE_INVALID'))
  })

  it('is opened by the pin that was moved before it was written, and so is the one before it: after a crash at any point', () => {
    let pin = pinOf(r0)
    for (const [at, next] of CHAIN.slice(1).entries()) {
      const current = CHAIN[at] as Uint8Array
      const moved = pinBetween(current, next)
      for (const [onDisk, pinned] of [
        [current, pin],
        [current, moved],
        [next, moved]
      ] as const) {
        openTrustBundle(onDisk, pinned)
      }
      pin = moved
    }
    assert.equal(pin, pinOf(r3))
    assert.throws(() => pinBetween(CHAIN[0] as Uint8Array, CHAIN[3] as Uint8Array), code('SIGNATURE_INVALID'))
  })

  it('is refused when a byte of what is signed was changed', () => {
    const signed = CHAIN[1] as Uint8Array
    fc.assert(
      fc.property(fc.nat(signed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Uint8Array.from(signed)
        bytes[at] = (bytes[at] ?? 0) ^ flip
        try {
          const { version, roots } = openSuccessor(bytes, first)
          assert.equal(version, 2n)
          assert.deepEqual(
            roots.map(({ sha256 }) => sha256),
            [pinOf(r0), pinOf(r1)]
          )
        } catch (err) {
          assert.match((err as { code?: string }).code ?? '', /^(SIGNATURE_INVALID|MESSAGE_MALFORMED)$/, String(err))
        }
      }),
      { numRuns: 300 }
    )
  })
})
