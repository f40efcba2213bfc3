import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import test from 'node:test'
import {
  admitAuthority,
  admitAuthorityRenewal,
  authorityRenewal,
  authorityRequest,
  authorityStatusOf,
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueAuthority,
  issueNode,
  keySha256Of,
  ORDER_FRESH_MS,
  openAuthorityStatus,
  openOrder,
  parseCertificate,
  peerKeyOf,
  type Revocation,
  rawPublicKey,
  requireAuthority,
  rootOfAuthority,
  signBinding,
  signOrder,
  spkiSha256,
  verifyAuthority,
  verifyNodeChain
} from '../../src/identity/index.ts'
import { authorityPb, create } from '../../src/wire/index.ts'
import { code } from './authority.ts'
import { DAY_MS, Domain, ext, forge, NOW_MS, TRUST_DOMAIN, USAGE } from './domain.ts'

const domain = await Domain.create()
const stranger = await Domain.create()
const peer = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const other = peerKeyOf(rawPublicKey(generatePeerKeyPair()))
const own = { machine: 'm1', peer }

function revocationOf(key: string): Revocation {
  const nothing = { machine: undefined, beforeMs: 0, peers: [], pattern: undefined }
  return { id: 'r1', ...nothing, keys: [key], reason: 'stolen', createdAtMs: NOW_MS }
}

test('an order counts if a trusted root signed it, for this very host, of now', () => {
  const order = signOrder({ action: 'become', ...own }, domain.rootIssuer, TRUST_DOMAIN, NOW_MS)
  assert.deepEqual(openOrder(order, own, domain.trust, NOW_MS + ORDER_FRESH_MS), { action: 'become', ...own })
  const resign = signOrder({ action: 'resign', ...own }, domain.rootIssuer, TRUST_DOMAIN, NOW_MS)
  assert.equal(openOrder(resign, own, domain.trust, NOW_MS).action, 'resign')
  for (const nowMs of [NOW_MS + ORDER_FRESH_MS + 1, NOW_MS - ORDER_FRESH_MS - 1]) {
    assert.throws(() => openOrder(order, own, domain.trust, nowMs), code('CERTIFICATE_REFUSED'))
  }
  for (const elsewhere of [
    { machine: 'm2', peer },
    { machine: 'm1', peer: other }
  ]) {
    assert.throws(() => openOrder(order, elsewhere, domain.trust, NOW_MS), code('CERTIFICATE_REFUSED'))
  }
  const foreign = signOrder({ action: 'become', ...own }, stranger.rootIssuer, TRUST_DOMAIN, NOW_MS)
  const posing = { ...foreign, rootSha256: order.rootSha256 }
  const ofAuthority = signOrder(
    { action: 'become', ...own },
    { certificate: domain.root, key: domain.authorityKey },
    TRUST_DOMAIN,
    NOW_MS
  )
  for (const bad of [foreign, posing, ofAuthority, { ...order, order: resign.order }]) {
    assert.throws(() => openOrder(bad, own, domain.trust, NOW_MS), code('SIGNATURE_INVALID'))
  }
})

test('a host made an authority signs hosts that everybody accepts', async () => {
  const key = generateSigningKeyPair()
  const csr = await authorityRequest('m1', key)
  const deps = { trustDomain: TRUST_DOMAIN, root: domain.rootIssuer, lifetimeMs: 90 * DAY_MS, nowMs: NOW_MS }
  const certificate = await admitAuthority(csr, deps)
  assert.equal(
    requireAuthority(certificate, key, domain.trust, NOW_MS).root.sha256,
    parseCertificate(domain.root).sha256
  )
  assert.throws(
    () => requireAuthority(certificate, generateSigningKeyPair(), domain.trust, NOW_MS),
    code('CERTIFICATE_REFUSED')
  )
  assert.throws(() => requireAuthority(certificate, key, stranger.trust, NOW_MS), code('CERTIFICATE_REFUSED'))
  const nodeKey = createPublicKey(generateSigningKeyPair())
  const binding = signBinding(
    { trustDomain: TRUST_DOMAIN, machine: 'm9', scopes: [], nodeKeySha256: spkiSha256(nodeKey) },
    generatePeerKeyPair()
  )
  const node = await issueNode({
    trustDomain: TRUST_DOMAIN,
    machine: 'm9',
    authority: { certificate, key },
    publicKey: nodeKey,
    binding,
    nowMs: NOW_MS
  })
  const chain = [node, certificate, domain.root]
  assert.ok(verifyNodeChain(chain, domain.trust, NOW_MS).ok)
  // Revoked, its key takes along all that it signed.
  const keys = keySha256Of(parseCertificate(certificate))
  const without = { ...domain.trust, revocations: [revocationOf(keys)] }
  const verdict = verifyNodeChain(chain, without, NOW_MS)
  assert.equal(verdict.ok ? '' : verdict.reason, 'revoked')
  assert.throws(() => requireAuthority(certificate, key, without, NOW_MS), code('REVOKED'))
})

test('an authority is renewed for the key that it has, in time or within the grace, and for no other', async () => {
  const deps = {
    trust: domain.trust,
    root: domain.rootIssuer,
    lifetimeMs: 90 * DAY_MS,
    graceMs: 7 * DAY_MS,
    nowMs: NOW_MS + 45 * DAY_MS
  }
  const renewal = await authorityRenewal('m1', domain.authority)
  const renewed = parseCertificate(await admitAuthorityRenewal(renewal, deps))
  assert.ok(renewed.publicKey.equals(createPublicKey(domain.authorityKey)))
  assert.equal(renewed.notAfterMs, deps.nowMs + 90 * DAY_MS)
  await admitAuthorityRenewal(renewal, { ...deps, nowMs: NOW_MS + 96 * DAY_MS })
  await assert.rejects(
    admitAuthorityRenewal(renewal, { ...deps, nowMs: NOW_MS + 98 * DAY_MS }),
    code('CERTIFICATE_REFUSED')
  )
  const csr = await authorityRequest('m1', generateSigningKeyPair())
  await assert.rejects(admitAuthorityRenewal({ ...renewal, csr }, deps), code('CERTIFICATE_REFUSED'))
  const foreign = await authorityRenewal('m1', stranger.authority)
  await assert.rejects(admitAuthorityRenewal(foreign, deps), code('CERTIFICATE_REFUSED'))
  const host = await domain.host('m1')
  await assert.rejects(
    admitAuthorityRenewal(await authorityRenewal('m1', host.issuer), deps),
    code('CERTIFICATE_REFUSED')
  )
  const revocations = [revocationOf(keySha256Of(parseCertificate(domain.authority.certificate)))]
  await assert.rejects(
    admitAuthorityRenewal(renewal, { ...deps, trust: { ...domain.trust, revocations } }),
    code('REVOKED')
  )
})

test('what a host says of its authority counts only from the host that has the key', async () => {
  const nonce = new Uint8Array(32).fill(7)
  const request = create(authorityPb.AuthorityStatusRequestSchema, { nonce })
  const status = authorityStatusOf(domain.authority, true, peer, request)
  const { notAfterMs, keySha256 } = openAuthorityStatus(status, peer, nonce, domain.trust, NOW_MS) ?? {}
  assert.equal(notAfterMs, NOW_MS + 90 * DAY_MS)
  assert.equal(keySha256, keySha256Of(parseCertificate(domain.authority.certificate)))
  // Passed on by another host, or answered before.
  const refused = code('CERTIFICATE_REFUSED')
  assert.throws(() => openAuthorityStatus(status, other, nonce, domain.trust, NOW_MS), refused)
  assert.throws(() => openAuthorityStatus(status, peer, new Uint8Array(32), domain.trust, NOW_MS), refused)
  assert.throws(() => openAuthorityStatus(status, peer, nonce, stranger.trust, NOW_MS), refused)
  assert.equal(
    openAuthorityStatus(authorityStatusOf(undefined, false, peer, request), peer, nonce, domain.trust, NOW_MS),
    undefined
  )
  const short = create(authorityPb.AuthorityStatusRequestSchema, { nonce: new Uint8Array(8) })
  assert.throws(() => authorityStatusOf(domain.authority, true, peer, short), code('MESSAGE_MALFORMED'))
})

test('an authority counts until just before its end, or that of its grace, and never longer than its root', async () => {
  const der = domain.authority.certificate
  const { notAfterMs } = parseCertificate(der)
  const isGood = (nowMs: number, graceMs: number) => verifyAuthority(der, domain.trust, nowMs, graceMs).ok
  for (const graceMs of [0, 5_000]) {
    assert.ok(isGood(notAfterMs + graceMs - 1, graceMs))
    assert.ok(!isGood(notAfterMs + graceMs, graceMs))
  }
  const rootEndMs = parseCertificate(domain.root).notAfterMs
  const lasting = await forge({
    issuer: domain.rootIssuer,
    extensions: [
      ext.basic(true, 1),
      ext.usage(USAGE.keyCertSign | USAGE.cRLSign),
      ext.names(`spiffe://${TRUST_DOMAIN}`)
    ],
    notAfterMs: rootEndMs + DAY_MS
  })
  const verdict = verifyAuthority(lasting, domain.trust, NOW_MS)
  assert.equal(verdict.ok ? verdict.identity.notAfterMs : 0, rootEndMs)
})

test('an authority is below no root any more once that root is not trusted', () => {
  const der = domain.authority.certificate
  const trusted = { ...domain.trust, roots: [...stranger.trust.roots, ...domain.trust.roots] }
  assert.equal(rootOfAuthority(der, trusted)?.sha256, parseCertificate(domain.root).sha256)
  assert.equal(rootOfAuthority(der, { ...trusted, roots: stranger.trust.roots }), undefined)
  assert.equal(verifyAuthority(der, { ...trusted, roots: stranger.trust.roots }, NOW_MS).ok, false)
})

test('only a CA that a root signed with the path length of an authority is one', async () => {
  const host = await domain.host('m1')
  const reason = (der: Uint8Array): string => {
    const verdict = verifyAuthority(der, domain.trust, NOW_MS)
    return verdict.ok ? '' : verdict.reason
  }
  assert.equal(reason(domain.authority.certificate), '')
  assert.equal(reason(host.issuer.certificate), 'wrong-root')
  assert.equal(reason(domain.root), 'path-length')
  assert.equal(reason(new Uint8Array(9)), 'malformed')
  const publicKey = createPublicKey(generateSigningKeyPair())
  const elsewhere = { trustDomain: 'other.org', root: domain.rootIssuer, publicKey, nowMs: NOW_MS }
  assert.equal(reason(await issueAuthority(elsewhere)), 'trust-domain')
})
