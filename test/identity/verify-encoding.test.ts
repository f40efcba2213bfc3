import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import { parseCertificate } from '../../src/identity/certificate/parse.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueNode,
  rawPublicKey,
  sign,
  spkiSha256,
  verifyNodeChain,
  verifyWorkload
} from '../../src/identity/index.ts'
import { checkCommon, checkDates } from '../../src/identity/verify/checks.ts'
import { create, identityPb, toBinary } from '../../src/wire/index.ts'
import { Domain, ext, forge, leafOf, NOW_MS, TRUST_DOMAIN, USAGE } from './domain.ts'

const domain = await Domain.create()
const host = await domain.host('a')
const signer = domain.admitted(host)
const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
const leaf = await leafOf(host, ID)

function reasonOf(der: Uint8Array): string {
  const verdict = verifyWorkload(der, signer, domain.trust, NOW_MS)
  return verdict.ok ? 'ok' : verdict.reason
}

/** `der`, whose outermost length takes more bytes than DER allows. */
function withLongLength(der: Uint8Array): Buffer {
  assert.deepEqual([der[0], der[1]], [0x30, 0x82])
  return Buffer.concat([Buffer.of(0x30, 0x83, 0x00), der.subarray(2)])
}

test('only DER counts: not PEM, not its text behind blanks, not another encoding of the same certificate', () => {
  const pem = new X509Certificate(leaf).toString()
  for (const text of [pem, `\n${pem}`, Buffer.from(leaf).toString('base64'), Buffer.from(leaf).toString('hex')]) {
    assert.equal(reasonOf(Buffer.from(text)), 'malformed')
  }
  assert.equal(reasonOf(withLongLength(leaf)), 'malformed')
  assert.equal(reasonOf(leaf), 'ok')
})

// Node looks for PEM text anywhere in the bytes and prefers it; the other parser does not. Found by reading both.
test('a certificate hidden as text in another one is not read in its place', async () => {
  const hidden = new X509Certificate(leaf).toString()
  const extensions = [ext.basic(false), ext.usage(USAGE.digitalSignature), ext.tls(), ext.names(ID)]
  const carrier = await forge({
    issuer: host.issuer,
    extensions: [...extensions, new x509.Extension('1.3.6.1.4.1.99999.1', false, Buffer.from(`\n${hidden}`))]
  })
  assert.equal(new X509Certificate(carrier).raw.equals(leaf), true, 'otherwise this test shows nothing any more')
  assert.throws(() => parseCertificate(carrier))
  assert.equal(reasonOf(carrier), 'malformed')
})

test('a joiner cannot smuggle a certificate into its own through the binding that it signs', async () => {
  const [peerKey, nodeKey] = [generatePeerKeyPair(), generateSigningKeyPair()]
  const publicKey = createPublicKey(nodeKey)
  // A field that nobody knows, with the true certificate of another host as text.
  const text = Buffer.from(`\n${new X509Certificate(host.issuer.certificate).toString()}`)
  const known = toBinary(
    identityPb.NodeBindingSchema,
    create(identityPb.NodeBindingSchema, {
      trustDomain: TRUST_DOMAIN,
      machine: 'b',
      peerPublicKey: rawPublicKey(peerKey),
      nodeKeySha256: spkiSha256(publicKey)
    })
  )
  const length = Buffer.of((text.length & 0x7f) | 0x80, text.length >> 7)
  const binding = Buffer.concat([known, Buffer.of(0xfa, 0x06), length, text])
  const signed = create(identityPb.SignedNodeBindingSchema, {
    binding,
    signature: sign(peerKey, 'warren-node-binding-v1', binding)
  })
  const { authority } = domain
  const options = { trustDomain: TRUST_DOMAIN, machine: 'b', authority, publicKey, binding: signed, nowMs: NOW_MS }
  const verdict = verifyNodeChain([await issueNode(options), ...host.chain.slice(1)], domain.trust, NOW_MS)
  assert.ok(!verdict.ok)
  assert.equal(verdict.reason, 'malformed')
})

test('a cut, doubled or lengthened certificate is refused', () => {
  for (let length = 0; length < leaf.length; length += 7) {
    assert.equal(reasonOf(leaf.subarray(0, length)), 'malformed', `of ${length} bytes`)
  }
  assert.equal(reasonOf(Buffer.concat([leaf, leaf])), 'malformed')
  assert.equal(reasonOf(Buffer.concat([leaf, Buffer.of(0)])), 'malformed')
  assert.equal(reasonOf(Buffer.concat([Buffer.of(0x0a), leaf])), 'malformed')
})

test('whatever bytes look like DER, the verifier answers', () => {
  const reasons = new Set(['malformed', 'bad-signature', 'too-large'])
  const bytes = fc.uint8Array({ maxLength: 400 })
  fc.assert(
    fc.property(bytes, fc.nat(leaf.length), fc.nat(40), (junk, at, cut) => {
      const spliced = Buffer.concat([leaf.subarray(0, at), junk, leaf.subarray(Math.min(leaf.length, at + cut))])
      const header = Buffer.of(0x30, 0x82, junk.length >> 8, junk.length & 0xff)
      for (const der of [spliced, Buffer.concat([header, junk])]) {
        const reason = reasonOf(der)
        assert.ok(reasons.has(reason) || Buffer.from(leaf).equals(der), reason)
      }
    }),
    { numRuns: 200 }
  )
})

test('a certificate nested as deep as its size allows ends in a refusal', () => {
  const depth = 4_000
  const nested = Buffer.concat([Buffer.from('3080'.repeat(depth), 'hex')])
  assert.equal(reasonOf(nested), 'malformed')
  let proper = Buffer.alloc(0)
  while (proper.length < 7_900) {
    const { length } = proper
    proper = Buffer.concat([
      Buffer.from(length < 128 ? [0x30, length] : [0x30, 0x82, length >> 8, length & 255]),
      proper
    ])
  }
  assert.equal(reasonOf(proper), 'malformed')
})

test('a certificate without the dates, or with absurd ones, is never in date', async () => {
  const extensions = [ext.basic(false), ext.usage(USAGE.digitalSignature), ext.tls(), ext.names(ID)]
  const ancient = Date.UTC(1951, 0)
  const past = await forge({ issuer: host.issuer, extensions, notBeforeMs: ancient, notAfterMs: ancient + 1_000 })
  assert.equal(reasonOf(past), 'expired')
  const far = Date.UTC(9999, 11, 31)
  const future = await forge({ issuer: host.issuer, extensions, notBeforeMs: far - 1_000, notAfterMs: far })
  assert.equal(reasonOf(future), 'not-yet-valid')
  const reversed = { notBeforeMs: NOW_MS + 1_000, notAfterMs: NOW_MS - 1_000 }
  assert.equal(reasonOf(await forge({ issuer: host.issuer, extensions, ...reversed })), 'not-yet-valid')
  const verdict = verifyWorkload(leaf, signer, domain.trust, Number.NaN)
  assert.equal(verdict.ok, false)
  const parsed = parseCertificate(leaf)
  checkDates(parsed, 'it', NOW_MS)
  for (const unread of [{ notBeforeMs: Number.NaN }, { notAfterMs: Number.NaN }]) {
    assert.throws(() => checkDates({ ...parsed, ...unread }, 'it', NOW_MS))
  }
})

// OpenSSL refuses to check its signature, too; of a root, nobody checks one.
test('a certificate that has an extension twice is refused, whoever signed it', () => {
  const parsed = parseCertificate(leaf)
  checkCommon(parsed, 'it', NOW_MS)
  assert.throws(() => checkCommon({ ...parsed, repeatedExtension: true }, 'it', NOW_MS), /occurs twice/)
})
