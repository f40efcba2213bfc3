import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import { bindingToExtension, NODE_BINDING_OID } from '../../src/identity/certificate/binding.ts'
import { parseCertificate } from '../../src/identity/certificate/parse.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueRoot,
  signBinding,
  type TrustState,
  verifyNodeChain,
  verifyStillValid
} from '../../src/identity/index.ts'
import { DAY_MS, Domain, ext, forge, NOW_MS, TRUST_DOMAIN, USAGE } from './domain.ts'

const domain = await Domain.create()
const CA = `spiffe://${TRUST_DOMAIN}`
const SIGNS = USAGE.keyCertSign | USAGE.cRLSign
const odd = (critical: boolean) => new x509.Extension('1.3.6.1.4.1.99999.1', critical, Uint8Array.of(5, 0))
const P256 = { name: 'ECDSA', namedCurve: 'P-256' }

function reasonOf(chain: readonly Uint8Array[], trust: TrustState = domain.trust): string {
  const verdict = verifyNodeChain(chain, trust, NOW_MS)
  return verdict.ok ? 'ok' : verdict.reason
}

const cryptoKeyOf = (key: KeyObject) => key.toCryptoKey(P256, true, ['verify'])

/** An authority certificate with these extensions, and below it a node CA that is as it must be. */
async function belowAuthority(extensions: x509.Extension[], dates = {}): Promise<string> {
  const key = generateSigningKeyPair()
  const publicKey = cryptoKeyOf(createPublicKey(key))
  const certificate = await forge({ issuer: domain.rootIssuer, extensions, publicKey, ...dates })
  const node = await nodeCertificate({ issuer: { certificate, key } })
  return reasonOf([node, certificate, domain.root])
}

interface NodeOptions {
  readonly issuer?: Issuer
  readonly names?: x509.Extension
  readonly key?: KeyObject
  readonly cryptoKey?: CryptoKey
  readonly more?: x509.Extension[]
}

// Of any key: `spkiSha256` takes those of P-256 only.
function sha256OfKey(key: KeyObject): Buffer {
  return createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest()
}

async function nodeCertificate(options: NodeOptions): Promise<Uint8Array> {
  const key = options.key ?? createPublicKey(generateSigningKeyPair())
  const content = { trustDomain: TRUST_DOMAIN, machine: 'a', scopes: [], nodeKeySha256: sha256OfKey(key) }
  const binding = bindingToExtension(signBinding(content, generatePeerKeyPair()))
  return await forge({
    issuer: options.issuer ?? domain.authority,
    publicKey: options.cryptoKey ?? cryptoKeyOf(key),
    extensions: [
      ext.basic(true, 0),
      ext.usage(SIGNS),
      options.names ?? ext.names(CA),
      new x509.Extension(NODE_BINDING_OID, false, binding),
      ...(options.more ?? [])
    ]
  })
}

async function reasonForNode(options: NodeOptions): Promise<string> {
  return reasonOf([await nodeCertificate(options), domain.authority.certificate, domain.root])
}

test('an authority has path length 1, may sign, and is of the trust domain', async () => {
  const [basic, usage, names] = [ext.basic(true, 1), ext.usage(SIGNS), ext.names(CA)]
  assert.equal(await belowAuthority([basic, usage, names]), 'ok')
  assert.equal(await belowAuthority([ext.basic(true), usage, names]), 'path-length')
  assert.equal(await belowAuthority([ext.basic(true, 2), usage, names]), 'path-length')
  assert.equal(await belowAuthority([ext.basic(true, 0), usage, names]), 'path-length')
  assert.notEqual(await belowAuthority([ext.basic(false), usage, names]), 'ok')
  assert.notEqual(await belowAuthority([usage, names]), 'ok')
  assert.notEqual(await belowAuthority([basic, ext.usage(USAGE.digitalSignature), names]), 'ok')
  assert.equal(await belowAuthority([basic, names]), 'key-usage')
  assert.equal(await belowAuthority([basic, usage]), 'names')
  assert.equal(await belowAuthority([basic, usage, ext.names(CA, CA)]), 'names')
  assert.equal(await belowAuthority([basic, usage, ext.names('spiffe://other.org')]), 'trust-domain')
  assert.equal(await belowAuthority([basic, usage, ext.names(`${CA}/warren/agent/a`)]), 'trust-domain')
  assert.equal(await belowAuthority([basic, usage, names, odd(true)]), 'unknown-critical-extension')
  assert.equal(await belowAuthority([basic, usage, names, odd(false)]), 'ok')
  assert.equal(await belowAuthority([basic, usage, names], { notAfterMs: NOW_MS }), 'expired')
  assert.equal(await belowAuthority([basic, usage, names], { notBeforeMs: NOW_MS + 1_000 }), 'not-yet-valid')
})

test('a host ends with its authority, also if it was verified before', async () => {
  const key = generateSigningKeyPair()
  const endMs = NOW_MS + 60_000
  const certificate = await forge({
    issuer: domain.rootIssuer,
    extensions: [ext.basic(true, 1), ext.usage(SIGNS), ext.names(CA)],
    publicKey: cryptoKeyOf(createPublicKey(key)),
    notAfterMs: endMs
  })
  const node = await nodeCertificate({ issuer: { certificate, key } })
  assert.ok(parseCertificate(node).notAfterMs > endMs)
  const verdict = verifyNodeChain([node, certificate, domain.root], domain.trust, NOW_MS)
  assert.ok(verdict.ok)
  assert.equal(verdict.identity.notAfterMs, endMs)
  assert.ok(verifyStillValid(verdict.identity, domain.trust, endMs - 1).ok)
  const later = verifyStillValid(verdict.identity, domain.trust, endMs)
  assert.equal(later.ok ? 'ok' : later.reason, 'expired')
})

test('a node CA is of its trust domain by exactly one URI', async () => {
  assert.equal(await reasonForNode({}), 'ok')
  assert.equal(await reasonForNode({ names: ext.names(CA, 'spiffe://other.org') }), 'names')
  assert.equal(await reasonForNode({ names: odd(false) }), 'names')
  const dns = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: CA }])
  assert.equal(await reasonForNode({ names: dns }), 'names')
  assert.equal(await reasonForNode({ names: ext.names(`${CA}/dev/web/nginx/default/a`) }), 'trust-domain')
  assert.equal(await reasonForNode({ names: ext.names('spiffe://other.org') }), 'trust-domain')
  assert.equal(await reasonForNode({ more: [odd(true)] }), 'unknown-critical-extension')
  assert.notEqual(await reasonForNode({ more: [ext.names(CA)] }), 'ok')
})

test('a node CA has a P-256 key', async () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey
  const ed25519 = generateKeyPairSync('ed25519').publicKey
  for (const [key, cryptoKey] of [
    [p384, p384.toCryptoKey({ name: 'ECDSA', namedCurve: 'P-384' }, true, ['verify'])],
    [rsa, rsa.toCryptoKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify'])],
    [ed25519, ed25519.toCryptoKey({ name: 'Ed25519' }, true, ['verify'])]
  ] as const) {
    assert.equal(await reasonForNode({ key, cryptoKey }), 'key-type')
  }
})

test('a node CA that the root itself signed is below no authority', async () => {
  const node = await nodeCertificate({ issuer: domain.rootIssuer })
  assert.equal(reasonOf([node, domain.authority.certificate, domain.root]), 'bad-signature')
  assert.equal(reasonOf([node, domain.root, domain.root]), 'path-length')
})

test('a certificate that is too large is refused by its size, at each place of the chain', async () => {
  const { chain } = await domain.host('a')
  for (const at of [0, 1, 2]) {
    assert.equal(reasonOf(chain.with(at, new Uint8Array(8 * 1_024 + 1))), 'too-large')
    assert.equal(reasonOf(chain.with(at, new Uint8Array(8 * 1_024))), 'malformed')
  }
})

test('a trusted root counts between its dates only, and another root of the trust domain counts as well', async () => {
  const { chain } = await domain.host('a')
  const past = await issueRoot({
    trustDomain: TRUST_DOMAIN,
    key: domain.rootKey,
    nowMs: NOW_MS - DAY_MS,
    lifetimeMs: 1_000
  })
  const ended = parseCertificate(past)
  const both = { ...domain.trust, roots: [...domain.trust.roots, ended] }
  assert.equal(reasonOf([...chain.slice(0, 2), past], both), 'expired')
  const other = await Domain.create()
  const foreign = await other.host('a')
  assert.equal(reasonOf(foreign.chain, both), 'wrong-root')
  const roots = [...domain.trust.roots, ...other.trust.roots]
  assert.equal(reasonOf(foreign.chain, { ...domain.trust, roots }), 'ok')
})
