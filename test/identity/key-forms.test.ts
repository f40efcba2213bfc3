import assert from 'node:assert/strict'
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import test from 'node:test'
import { type JwtHost, keySet, signJwt, validateJwt } from '../../src/ca/jwt.ts'
import { Trust } from '../../src/cluster/trust.ts'
import { silentLogger } from '../../src/core/index.ts'
import { provenKey, requestFor } from '../../src/identity/certificate/request.ts'
import {
  admitAuthority,
  admitAuthorityRenewal,
  admitRenewal,
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueNode,
  issueWorkload,
  keyFromPem,
  keyToPem,
  openTrustBundle,
  parseCertificate,
  parsePeerKey,
  peerKeyOf,
  rawPublicKey,
  renewalRequest,
  signBinding,
  signTrustBundle,
  spkiSha256,
  verifyAuthority,
  verifyNodeChain,
  verifySignature,
  verifyWorkload
} from '../../src/identity/index.ts'
import { authorityPb, create, identityPb } from '../../src/wire/index.ts'
import { admitByToken, code, setUp } from './authority.ts'
import { DAY_MS, Domain, leafOf, NOW_MS, TRUST_DOMAIN } from './domain.ts'
import {
  canonicalSpki,
  certificateWith,
  NAMED,
  OTHER_FORMS,
  pemIn,
  requestWith,
  spkiIn,
  withOtherSignature
} from './key-forms.ts'

const domain = await Domain.create()
const host = await domain.host('a')
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
const publicHalf = (key: KeyObject): KeyObject => createPublicKey(key)

/** A node CA certificate for `spki`, with a binding to its hash, as a hostile authority or a careless one would make it. */
async function nodeWith(spki: Uint8Array, key: KeyObject): Promise<Uint8Array[]> {
  const binding = signBinding(
    { trustDomain: TRUST_DOMAIN, machine: 'b', scopes: [], nodeKeySha256: sha256(spki) },
    generatePeerKeyPair()
  )
  const made = await issueNode({
    trustDomain: TRUST_DOMAIN,
    machine: 'b',
    authority: domain.authority,
    publicKey: publicHalf(key),
    binding,
    nowMs: NOW_MS
  })
  return [certificateWith(made, spki, domain.authorityKey), domain.authority.certificate, domain.root]
}

test('the forms of a key that these tests use are of one key, and have hashes of their own', () => {
  const key = generateSigningKeyPair()
  const forms = OTHER_FORMS.map(form => spkiIn(form, key))
  assert.equal(new Set([canonicalSpki(key), ...forms].map(spki => sha256(spki).toString('hex'))).size, 6)
  for (const spki of forms.slice(0, 4)) {
    assert.ok(createPublicKey({ key: spki, format: 'der', type: 'spki' }).equals(publicHalf(key)))
  }
})

for (const form of OTHER_FORMS) {
  test(`a certificate request for a P-256 key in another form proves nothing: ${form}`, async () => {
    const key = generateSigningKeyPair()
    const good = await requestFor('b', key)
    assert.ok((await provenKey(requestWith(good, canonicalSpki(key), key))).equals(publicHalf(key)))
    await assert.rejects(provenKey(requestWith(good, spkiIn(form, key), key)), code('CERTIFICATE_REFUSED', NAMED[form]))
  })

  test(`a certificate with a P-256 key in another form is refused in every place of a chain: ${form}`, async () => {
    const key = generateSigningKeyPair()
    const spki = spkiIn(form, key)
    const reasonOf = (verdict: { ok: true } | { ok: false; reason: string; detail: string }): string => {
      assert.ok(!verdict.ok)
      assert.match(verdict.detail, NAMED[form])
      return verdict.reason
    }
    const wanted = /key-form|malformed/
    assert.ok(verifyNodeChain(await nodeWith(canonicalSpki(key), key), domain.trust, NOW_MS).ok)
    assert.match(reasonOf(verifyNodeChain(await nodeWith(spki, key), domain.trust, NOW_MS)), wanted)

    const authority = certificateWith(domain.authority.certificate, spki, domain.rootKey)
    assert.match(reasonOf(verifyAuthority(authority, domain.trust, NOW_MS)), wanted)

    const spiffeId = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
    const options = { node: host.issuer, spiffeId, publicKey: publicHalf(key), nowMs: NOW_MS }
    const leaf = await issueWorkload(options)
    const signer = domain.admitted(host)
    const verifier = (der: Uint8Array) => verifyWorkload(der, signer, domain.trust, NOW_MS)
    assert.ok(verifier(certificateWith(leaf, canonicalSpki(key), host.nodeKey)).ok)
    assert.match(reasonOf(verifier(certificateWith(leaf, spki, host.nodeKey))), wanted)
  })

  test(`a root with a P-256 key in another form is not trusted, whoever signs for it: ${form}`, () => {
    const root = certificateWith(domain.root, spkiIn(form, domain.rootKey), domain.rootKey)
    const content = {
      trustDomain: TRUST_DOMAIN,
      version: 1n,
      adminPublicKey: rawPublicKey(domain.adminKey),
      nowMs: NOW_MS
    }
    const open = (certificate: Uint8Array) => {
      const signers = [{ certificate, key: domain.rootKey }]
      return openTrustBundle(
        signTrustBundle({ ...content, roots: [certificate] }, signers),
        sha256(certificate).toString('hex')
      )
    }
    assert.equal(open(certificateWith(domain.root, canonicalSpki(domain.rootKey), domain.rootKey)).roots.length, 1)
    assert.throws(
      () => open(root),
      (err: { code?: string }) => /^(MESSAGE_MALFORMED|SIGNATURE_INVALID|CERTIFICATE_REFUSED)$/.test(err.code ?? '')
    )
  })

  test(`a JWT key in another form is no key: it validates nothing and is shown to nobody: ${form}`, async () => {
    const key = generateSigningKeyPair()
    const spiffeId = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
    const token = await signJwt(key, spiffeId, ['x'], NOW_MS, 60_000)
    const hosts = (spki: Buffer): JwtHost[] => [{ machine: 'a', scopes: [], jwtKeys: [spki.toString('base64')] }]
    const right = hosts(canonicalSpki(key))
    assert.equal((await validateJwt(token, 'x', TRUST_DOMAIN, right, NOW_MS)).spiffeId, spiffeId)
    assert.equal(keySet(right).keys.length, 1)
    assert.deepEqual(keySet(hosts(spkiIn(form, key))).keys, [])
  })
}

test('an authority and a renewal take a key in its one form only', async () => {
  const key = generateSigningKeyPair()
  const request = requestWith(await requestFor('a', key), spkiIn('compressed', key), key)
  const refused = code('CERTIFICATE_REFUSED', /a compressed point/)
  const issue = { lifetimeMs: DAY_MS, nowMs: NOW_MS, root: domain.rootIssuer }
  await assert.rejects(admitAuthority(request, { ...issue, trustDomain: TRUST_DOMAIN }), refused)

  const own = requestWith(
    await requestFor('a', domain.authorityKey),
    spkiIn('compressed', domain.authorityKey),
    domain.authorityKey
  )
  const asked = create(authorityPb.AuthorityRenewalSchema, { certificate: domain.authority.certificate, csr: own })
  await assert.rejects(admitAuthorityRenewal(asked, { ...issue, trust: domain.trust, graceMs: DAY_MS }), refused)

  const renewal = await renewalRequest(domain.admitted(host), TRUST_DOMAIN, {
    peerKey: host.peerKey,
    nodeKey: host.nodeKey,
    nextKey: key
  })
  const deps = {
    trust: domain.trust,
    authority: domain.authority,
    lifetimeMs: 60 * DAY_MS,
    graceMs: DAY_MS,
    successor: () => undefined,
    nowMs: NOW_MS + DAY_MS
  }
  await admitRenewal(renewal, deps, undefined)
  await assert.rejects(admitRenewal({ ...renewal, csr: request }, deps, undefined), refused)
})

test('the hash that a revocation names is made of one form of a key alone', async () => {
  const key = generateSigningKeyPair()
  assert.deepEqual(Buffer.from(spkiSha256(publicHalf(key))), sha256(canonicalSpki(key)))
  for (const form of ['compressed', 'hybrid', 'explicit'] as const) {
    const other = createPublicKey({ key: spkiIn(form, key), format: 'der', type: 'spki' })
    assert.throws(() => spkiSha256(other), code('CERTIFICATE_REFUSED', NAMED[form]))
  }
})

test('a key whose hash is revoked joins in no form', async () => {
  const setup = await setUp(domain, host)
  const key = generateSigningKeyPair()
  const revocation = {
    id: 'x1',
    machine: undefined,
    beforeMs: 0,
    peers: [],
    keys: [Buffer.from(spkiSha256(publicHalf(key))).toString('hex')],
    pattern: undefined,
    reason: '',
    createdAtMs: NOW_MS
  }
  const attempt = async (spki: Buffer) => {
    const { id, secret, machine } = setup.token()
    const binding = signBinding(
      { trustDomain: TRUST_DOMAIN, machine, scopes: [], nodeKeySha256: sha256(spki) },
      generatePeerKeyPair()
    )
    const csr = requestWith(await requestFor(machine, key), spki, key)
    const request = create(identityPb.JoinRequestSchema, { tokenId: Buffer.from(id, 'hex'), secret, csr, binding })
    const deps = {
      trustDomain: TRUST_DOMAIN,
      ledger: setup.tokens,
      taken: () => undefined,
      authority: domain.authority,
      nowMs: () => NOW_MS
    }
    return await admitByToken(request, { ...deps, peerOf: () => undefined, revocations: () => [revocation] })
  }
  await assert.rejects(attempt(canonicalSpki(key)), code('REVOKED'))
  for (const form of OTHER_FORMS)
    await assert.rejects(attempt(spkiIn(form, key)), code('CERTIFICATE_REFUSED', NAMED[form]))
})

test('a private key in another form is read as the same key in its one form, and of two keys in a file none is', () => {
  const key = generateSigningKeyPair()
  for (const form of ['compressed', 'explicit'] as const) {
    assert.deepEqual(canonicalSpki(keyFromPem(pemIn(form, key))), canonicalSpki(key))
  }
  assert.ok(keyFromPem(keyToPem(key)).equals(key))
  assert.throws(() => keyFromPem(keyToPem(key) + keyToPem(generateSigningKeyPair())), /2 blocks/)
  assert.throws(() => keyFromPem(''), RangeError)
})

// 2^255 - 19 and more, and the points whose order is at most eight, each with both signs.
const P = 2n ** 255n - 19n
const little = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse()
const withSign = (raw: Buffer): Buffer => Buffer.concat([raw.subarray(0, 31), Buffer.of(raw[31]! | 0x80)])
const ORDER_8 = [
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'
].map(hex => Buffer.from(hex, 'hex'))

test('a peer has an Ed25519 key in its one encoding, and none for which anybody can sign', () => {
  const nobody = [little(0n), little(1n), little(P - 1n), ...ORDER_8]
  const second = Array.from({ length: 19 }, (_, y) => little(P + BigInt(y)))
  for (const raw of [...nobody, ...second].flatMap(point => [point, withSign(point)])) {
    assert.throws(() => peerKeyOf(raw), code('INVALID_ARGUMENT', /one encoding/))
    assert.equal(verifySignature(raw, 'warren-node-head-v1', Buffer.from('x'), Buffer.alloc(64)), false)
  }
  for (let count = 0; count < 64; count += 1) {
    const peer = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
    assert.equal(parsePeerKey(peer), peer)
  }
})

test('an admin key that can be nobody’s makes a trust bundle unusable', () => {
  const content = { trustDomain: TRUST_DOMAIN, version: 1n, roots: [domain.root], nowMs: NOW_MS }
  const signers = [domain.rootIssuer]
  for (const adminPublicKey of [little(1n), little(P + 1n)]) {
    assert.throws(
      () => openTrustBundle(signTrustBundle({ ...content, adminPublicKey }, signers), domain.rootSha256),
      code('MESSAGE_MALFORMED')
    )
  }
})

test('an Ed25519 signature has one form, so the hash of a signed head or policy stands for it', () => {
  const key = generatePeerKeyPair()
  const bytes = Buffer.from('head')
  const made = sign(null, bytes, key)
  const s = BigInt(`0x${Buffer.from(made.subarray(32)).reverse().toString('hex')}`)
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  assert.ok(verify(null, bytes, createPublicKey(key), made))
  assert.equal(
    verify(null, bytes, createPublicKey(key), Buffer.concat([made.subarray(0, 32), little(s + order)])),
    false
  )
})

test('two certificates of one key, and one with another signature of its issuer, are revoked by the key that they share', async () => {
  const key = generateSigningKeyPair()
  const spki = canonicalSpki(key)
  const [first, second] = [await nodeWith(spki, key), await nodeWith(spki, key)]
  const third = first.with(0, withOtherSignature(first[0]!))
  const hash = sha256(spki).toString('hex')
  const revocation = {
    id: 'x1',
    machine: undefined,
    beforeMs: 0,
    peers: [],
    keys: [hash],
    pattern: undefined,
    reason: '',
    createdAtMs: 0
  }
  const trust = { ...domain.trust, revocations: [revocation] }
  assert.notEqual(parseCertificate(first[0]!).sha256, parseCertificate(second[0]!).sha256)
  assert.notEqual(parseCertificate(first[0]!).sha256, parseCertificate(third[0]!).sha256)
  assert.equal(parseCertificate(first[0]!).contentSha256, parseCertificate(third[0]!).contentSha256)
  for (const chain of [first, second, third]) {
    assert.ok(verifyNodeChain(chain, domain.trust, NOW_MS).ok)
    const verdict = verifyNodeChain(chain, trust, NOW_MS)
    assert.equal(verdict.ok ? 'ok' : verdict.reason, 'revoked')
  }
})

test('a second signature for the certificates of a host, which anybody can make, pushes none of them out', async () => {
  const trust = new Trust(domain.trust, { wallMs: () => NOW_MS, monotonicMs: () => 0 }, silentLogger)
  const before = await domain.host('b')
  const key = generateSigningKeyPair()
  const { peerKey } = before
  const nodeKeySha256 = spkiSha256(publicHalf(key))
  const binding = signBinding({ trustDomain: TRUST_DOMAIN, machine: 'b', scopes: [], nodeKeySha256 }, peerKey)
  const { authority, root } = domain
  const options = { trustDomain: TRUST_DOMAIN, machine: 'b', authority, publicKey: publicHalf(key), binding }
  const renewed = await issueNode({ ...options, nowMs: NOW_MS, lifetimeMs: 60 * DAY_MS })
  for (const chain of [before.chain, [renewed, authority.certificate, root]]) assert.ok(trust.admit(chain).ok)
  for (const node of [renewed, withOtherSignature(renewed)]) {
    for (const above of [authority.certificate, withOtherSignature(authority.certificate)]) {
      assert.ok(trust.admit([node, above, root]).ok)
    }
  }
  assert.equal(trust.certificatesOf('b').length, 2)
  const leaf = await leafOf(before, `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/b`)
  assert.ok(trust.workload(leaf).ok)
})
