import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import test from 'node:test'
import { proveCertificate, verifyHostCertificate } from '../../src/identity/index.ts'
import { create, identityPb } from '../../src/wire/index.ts'
import { code } from './authority.ts'
import { type Foreign, type ForeignOptions, foreign } from './foreign-ca.ts'

const ca = await foreign({ subject: 'CN=Example CA', ca: true })
const channel = { nonce: randomBytes(32), leaf: randomBytes(300) }
const binding = randomBytes(200)
const anchors = [{ id: 'ca', certificate: ca.der }]
const host = (options: Partial<ForeignOptions> = {}) => foreign({ subject: 'CN=web-1', issuer: ca, ...options })

function verify(chain: readonly Foreign[], made = channel, over = binding, key = chain[0]?.key) {
  assert.ok(key !== undefined)
  const proof = proveCertificate({ chain: chain.map(({ der }) => der), key }, made, over)
  const message = create(identityPb.CertificateProofSchema, proof)
  return verifyHostCertificate(message, anchors, channel, binding, Date.now())
}

const refused = (reason: RegExp) => code('CERTIFICATE_REFUSED', reason)

test('a certificate below a trusted CA proves its names, directly or over another CA', async () => {
  const one = await host({ dns: ['web-1.example.com'], uri: ['urn:host:web-1'] })
  const { anchor, names } = verify([one])
  assert.equal(anchor, 'ca')
  assert.deepEqual(names, { cn: ['web-1'], dns: ['web-1.example.com'], uri: ['urn:host:web-1'] })
  const middle = await foreign({ subject: 'CN=Sub', ca: true, pathLength: 0, issuer: ca })
  assert.deepEqual(verify([await host({ issuer: middle }), middle]).names.cn, ['web-1'])
})

test('a certificate proves nothing unless each of its chain is in date, of the right kind and signed by the next', async () => {
  const other = await foreign({ subject: 'CN=Example CA', ca: true })
  const closed = await foreign({ subject: 'CN=Closed', ca: true, pathLength: 0, issuer: ca })
  const below = await foreign({ subject: 'CN=Below', ca: true, issuer: closed })
  const noCa = await foreign({ subject: 'CN=Leaf', issuer: ca })
  const noSigner = await foreign({ subject: 'CN=No', ca: true, usage: 128, issuer: ca })
  const ended = await foreign({ subject: 'CN=Ended', ca: true, issuer: ca, notAfterMs: Date.now() - 1 })
  const cases: ReadonlyArray<readonly [readonly Foreign[], RegExp]> = [
    [[await host({ issuer: other })], /its CA is not trusted/],
    [[await host({ issuer: other }), other], /its CA is not trusted/],
    [[await foreign({ subject: 'CN=web-1' })], /its CA is not trusted/],
    [[ca], /that of a CA/],
    [[await host({ notAfterMs: Date.now() - 1 })], /ended at/],
    [[await host({ issuer: ended }), ended], /ended at/],
    [[await host({ notBeforeMs: Date.now() + 60_000 })], /begins at/],
    [[await host({ extended: ['1.3.6.1.5.5.7.3.1'] })], /lacks clientAuth/],
    [[await host({ usage: 32 })], /may not sign/],
    [[await host({ unknownCritical: true })], /critical extension that is unknown/],
    [[await host({ issuer: below }), below, closed], /longer than one of its CAs permits/],
    [[await host({ issuer: noCa }), noCa], /is no CA|not signed by the next/],
    [[await host({ issuer: noSigner }), noSigner], /may not sign certificates|not signed by the next/],
    [[await host(), closed], /not signed by the next/],
    [[await host(), ...Array.from({ length: 5 }, () => closed)], /1 to 5 certificates/]
  ]
  for (const [chain, reason] of cases) assert.throws(() => verify(chain), refused(reason), String(reason))
})

test('a proof of possession counts on its connection, for its binding, and with the key of the certificate', async () => {
  const one = await host()
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  verify([one])
  const unproven = refused(/does not prove the key/)
  assert.throws(() => verify([one], { ...channel, nonce: randomBytes(32) }), unproven)
  // A relay shows the certificate of its own agent to the host.
  assert.throws(() => verify([one], { ...channel, leaf: randomBytes(300) }), unproven)
  assert.throws(() => verify([one], channel, randomBytes(200)), unproven)
  assert.throws(() => verify([one], channel, binding, stranger), unproven)
  const empty = create(identityPb.CertificateProofSchema, { chain: [one.der], signature: new Uint8Array() })
  assert.throws(() => verifyHostCertificate(empty, anchors, channel, binding, Date.now()), unproven)
  const junk = create(identityPb.CertificateProofSchema, { chain: [randomBytes(500)], signature: randomBytes(64) })
  assert.throws(() => verifyHostCertificate(junk, anchors, channel, binding, Date.now()), refused(/cannot be read/))
})

test('keys of RSA, Ed25519 and the larger curves are proved as well, and short or huge ones are refused', async () => {
  for (const make of [
    () => generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey,
    () => generateKeyPairSync('ed25519').privateKey,
    () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
  ]) {
    const key = make()
    assert.deepEqual(verify([await host({ key })]).names.cn, ['web-1'])
  }
  const short = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey
  const weak = await host({ key: short })
  const proof = create(identityPb.CertificateProofSchema, { chain: [weak.der], signature: randomBytes(128) })
  const kind = refused(/a key of a kind that is not accepted/)
  assert.throws(() => verifyHostCertificate(proof, anchors, channel, binding, Date.now()), kind)
})
