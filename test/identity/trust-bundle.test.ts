import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { generatePeerKeyPair, openTrustBundle, rawPublicKey, signTrustBundle } from '../../src/identity/index.ts'
import { Domain, NOW_MS, TRUST_DOMAIN } from './domain.ts'

const domain = await Domain.create()
const content = {
  trustDomain: TRUST_DOMAIN,
  version: 1n,
  roots: [domain.root],
  adminPublicKey: rawPublicKey(generatePeerKeyPair()),
  nowMs: NOW_MS
}
const code = (wanted: string) => (err: Error & { code?: string }) => err.code === wanted

test('a trust bundle counts if the pinned root signed it', async () => {
  const trust = openTrustBundle(domain.bundle, domain.rootSha256)
  assert.equal(trust.trustDomain, TRUST_DOMAIN)
  const other = await Domain.create()
  assert.throws(() => openTrustBundle(domain.bundle, other.rootSha256), code('SIGNATURE_INVALID'))
  const forged = signTrustBundle(content, [{ certificate: domain.root, key: other.rootKey }])
  assert.throws(() => openTrustBundle(forged, domain.rootSha256), code('SIGNATURE_INVALID'))
})

test('a signed bundle that is of no use is refused', () => {
  for (const change of [{ version: 0n }, { adminPublicKey: new Uint8Array(31) }, { trustDomain: 'Not A Domain' }]) {
    const signed = signTrustBundle({ ...content, ...change }, [domain.rootIssuer])
    assert.throws(() => openTrustBundle(signed, domain.rootSha256), code('MESSAGE_MALFORMED'))
  }
})

test('an altered bundle is refused with a code, or says what the root signed', () => {
  const { trustDomain, version, adminPublicKey, roots } = openTrustBundle(domain.bundle, domain.rootSha256)
  fc.assert(
    fc.property(fc.nat(domain.bundle.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Uint8Array.from(domain.bundle)
      bytes[at] = (bytes[at] ?? 0) ^ flip
      try {
        // The envelope is not signed, and has more than one encoding; its content is, and has one.
        const opened = openTrustBundle(bytes, domain.rootSha256)
        assert.deepEqual([opened.trustDomain, opened.version], [trustDomain, version])
        assert.deepEqual(opened.adminPublicKey, adminPublicKey)
        assert.deepEqual(
          opened.roots.map(({ sha256 }) => sha256),
          roots.map(({ sha256 }) => sha256)
        )
      } catch (err) {
        assert.match((err as { code?: string }).code ?? '', /^(SIGNATURE_INVALID|MESSAGE_MALFORMED)$/, String(err))
      }
    }),
    { numRuns: 1_000 }
  )
  assert.throws(() => openTrustBundle(new Uint8Array(1 << 20), domain.rootSha256), code('MESSAGE_TOO_LARGE'))
})
