import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import { bindingToExtension, NODE_BINDING_OID } from '../../src/identity/certificate/binding.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueAuthority,
  signBinding,
  spkiSha256,
  verifyNodeChain
} from '../../src/identity/index.ts'
import { create, identityPb } from '../../src/wire/index.ts'
import { DAY_MS, Domain, ext, forge, NOW_MS, TRUST_DOMAIN, USAGE } from './domain.ts'

const domain = await Domain.create()
const stranger = await Domain.create()
const host = await domain.host('a', ['dev'])
const [node, authority, root] = host.chain as [Uint8Array, Uint8Array, Uint8Array]
const P256 = { name: 'ECDSA', namedCurve: 'P-256' }

function reasonOf(chain: readonly Uint8Array[], nowMs = NOW_MS): string {
  const verdict = verifyNodeChain(chain, domain.trust, nowMs)
  return verdict.ok ? 'ok' : verdict.reason
}

interface NodeForgery {
  readonly binding?: Partial<Parameters<typeof signBinding>[0]>
  /** The hash of the CA key, as the binding says it. */
  readonly hashed?: (sha256: Uint8Array) => Uint8Array
  readonly tamper?: (signed: identityPb.SignedNodeBinding) => identityPb.SignedNodeBinding
  readonly extensions?: (regular: x509.Extension[]) => x509.Extension[]
}

/** A node CA certificate that the true authority signed, though it should not have. */
async function chainWith(forgery: NodeForgery): Promise<Uint8Array[]> {
  const { binding = {}, hashed = sha256 => sha256, tamper = s => s, extensions = e => e } = forgery
  const publicKey = createPublicKey(generateSigningKeyPair())
  const nodeKeySha256 = hashed(spkiSha256(publicKey))
  const content = { trustDomain: TRUST_DOMAIN, machine: 'a', scopes: ['dev'], nodeKeySha256, ...binding }
  const signed = tamper(signBinding(content, generatePeerKeyPair()))
  const regular = [
    ext.basic(true, 0),
    ext.usage(USAGE.keyCertSign | USAGE.cRLSign),
    ext.names(`spiffe://${TRUST_DOMAIN}`),
    new x509.Extension(NODE_BINDING_OID, false, bindingToExtension(signed))
  ]
  const certificate = await forge({
    issuer: domain.authority,
    extensions: extensions(regular),
    publicKey: publicKey.toCryptoKey(P256, true, ['verify'])
  })
  return [certificate, authority, root]
}

test('an admitted host is known by its machine, its peer and its scopes', () => {
  const verdict = verifyNodeChain(host.chain, domain.trust, NOW_MS)
  assert.ok(verdict.ok)
  assert.equal(verdict.identity.machine, 'a')
  assert.deepEqual(verdict.identity.scopes, ['dev'])
  assert.throws(() => (verdict.identity.scopes as string[]).push('prod'))
})

test('a chain of another root is refused, though it has the same names', async () => {
  const foreign = await stranger.host('a')
  assert.equal(reasonOf(foreign.chain), 'wrong-root')
  assert.equal(reasonOf([node, authority, stranger.root]), 'wrong-root')
  assert.equal(reasonOf([...foreign.chain.slice(0, 2), root]), 'bad-signature')
  assert.equal(reasonOf([foreign.chain[0] ?? node, authority, root]), 'bad-signature')
})

test('a chain of another length or order is refused', () => {
  for (const chain of [[], [node], [node, authority], [node, authority, root, root]]) {
    assert.equal(reasonOf(chain), 'wrong-chain-length')
  }
  for (const chain of [
    [root, authority, node],
    [authority, node, root],
    [authority, authority, root],
    [root, root, root]
  ]) {
    assert.notEqual(reasonOf(chain), 'ok')
  }
})

test('each certificate of the chain must be in date', async () => {
  assert.equal(reasonOf(host.chain, NOW_MS - DAY_MS), 'not-yet-valid')
  assert.equal(reasonOf(host.chain, NOW_MS + 31 * DAY_MS), 'expired')
  const key = generateSigningKeyPair()
  const short = await issueAuthority({
    trustDomain: TRUST_DOMAIN,
    root: domain.rootIssuer,
    publicKey: createPublicKey(key),
    nowMs: NOW_MS - 100 * DAY_MS,
    lifetimeMs: DAY_MS
  })
  assert.equal(reasonOf([node, short, root]), 'expired')
})

test('a binding that is missing, altered, or of another key, domain or name form is refused', async () => {
  const without = await chainWith({ extensions: all => all.slice(0, 3) })
  assert.equal(reasonOf(without), 'no-binding')
  const otherKey = await chainWith({ binding: { nodeKeySha256: new Uint8Array(32) } })
  assert.equal(reasonOf(otherKey), 'bad-binding')
  for (const at of [0, 31]) {
    const nearly = await chainWith({ hashed: sha256 => Uint8Array.from(sha256).with(at, (sha256[at] ?? 0) ^ 1) })
    assert.equal(reasonOf(nearly), 'bad-binding', `byte ${at} of the hash`)
  }
  assert.equal(reasonOf(await chainWith({ binding: { trustDomain: 'other.org' } })), 'trust-domain')
  assert.equal(reasonOf(await chainWith({ binding: { machine: 'a.b' } })), 'bad-binding')
  assert.equal(reasonOf(await chainWith({ binding: { machine: '' } })), 'bad-binding')
  assert.equal(reasonOf(await chainWith({ binding: { scopes: ['warren'] } })), 'scope')
  assert.equal(reasonOf(await chainWith({ binding: { scopes: Array(65).fill('dev') } })), 'scope')
  const altered = await chainWith({
    tamper: ({ binding, signature }) => {
      const bytes = Uint8Array.from(binding)
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
      return create(identityPb.SignedNodeBindingSchema, { binding: bytes, signature })
    }
  })
  assert.equal(reasonOf(altered), 'bad-binding')
  const unsigned = await chainWith({
    tamper: ({ binding }) => create(identityPb.SignedNodeBindingSchema, { binding, signature: new Uint8Array(64) })
  })
  assert.equal(reasonOf(unsigned), 'bad-binding')
  assert.equal(reasonOf(await chainWith({})), 'ok')
})

test('a host is a CA for end entities and nothing else', async () => {
  const with0 = (first: x509.Extension) => chainWith({ extensions: ([, ...rest]) => [first, ...rest] })
  assert.equal(reasonOf(await with0(ext.basic(false))), 'not-a-ca')
  assert.equal(reasonOf(await with0(ext.basic(true))), 'path-length')
  assert.equal(reasonOf(await with0(ext.basic(true, 1))), 'path-length')
  const noSigning = await chainWith({
    extensions: ([basic, , names, binding]) => [basic, ext.usage(USAGE.digitalSignature), names, binding] as never
  })
  assert.equal(reasonOf(noSigning), 'key-usage')
})

test('the CA of a host cannot make another host', async () => {
  const publicKey = createPublicKey(generateSigningKeyPair())
  const binding = signBinding(
    { trustDomain: TRUST_DOMAIN, machine: 'b', scopes: [], nodeKeySha256: spkiSha256(publicKey) },
    generatePeerKeyPair()
  )
  const child = await forge({
    issuer: host.issuer,
    extensions: [
      ext.basic(true, 0),
      ext.usage(USAGE.keyCertSign),
      ext.names(`spiffe://${TRUST_DOMAIN}`),
      new x509.Extension(NODE_BINDING_OID, false, bindingToExtension(binding))
    ],
    publicKey: publicKey.toCryptoKey(P256, true, ['verify'])
  })
  assert.notEqual(reasonOf([child, node, root]), 'ok')
  assert.notEqual(reasonOf([child, authority, root]), 'ok')
  assert.equal(reasonOf([child, node, authority, root]), 'wrong-chain-length')
})

test('no altered chain passes, and nothing but a verdict comes out', () => {
  fc.assert(
    fc.property(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, at, flip) => {
      const chain = host.chain.map(der => Uint8Array.from(der))
      const target = chain[which] ?? node
      target[at % target.length] = (target[at % target.length] ?? 0) ^ flip
      assert.notEqual(reasonOf(chain), 'ok')
    }),
    { numRuns: 300 }
  )
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 4 }), chain => {
      assert.notEqual(reasonOf(chain), 'ok')
    })
  )
  assert.equal(reasonOf([new Uint8Array(9_000), authority, root]), 'too-large')
})
