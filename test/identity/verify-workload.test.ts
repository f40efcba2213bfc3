import 'reflect-metadata'
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import { NODE_BINDING_OID } from '../../src/identity/certificate/binding.ts'
import { agentSpiffeId, claimedMachine, verifyAgent, verifyWorkload } from '../../src/identity/index.ts'
import { DAY_MS, Domain, ext, forge, leafOf, NOW_MS, TRUST_DOMAIN, USAGE } from './domain.ts'

const domain = await Domain.create()
const a = await domain.host('a')
const b = await domain.host('b')
const signerA = domain.admitted(a)
const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
const good: [x509.Extension, x509.Extension, x509.Extension, x509.Extension] = [
  ext.basic(false),
  ext.usage(USAGE.digitalSignature),
  ext.tls(),
  ext.names(ID)
]

function reasonOf(leaf: Uint8Array, nowMs = NOW_MS): string {
  const verdict = verifyWorkload(leaf, signerA, domain.trust, nowMs)
  return verdict.ok ? 'ok' : verdict.reason
}

async function reasonFor(extensions: x509.Extension[]): Promise<string> {
  return reasonOf(await forge({ issuer: a.issuer, extensions }))
}

test('what a host issues for its own workload is accepted', async () => {
  const verdict = verifyWorkload(await leafOf(a, ID), domain.admitted(a), domain.trust, NOW_MS)
  assert.ok(verdict.ok)
  assert.equal(verdict.identity.spiffeId, ID)
  assert.equal(verdict.identity.machine, 'a')
  assert.equal(await reasonFor(good), 'ok')
})

test('the CA of one host cannot name a workload of another host', async () => {
  const leaf = await leafOf(a, `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/b`)
  assert.equal(reasonOf(leaf), 'wrong-machine')
  const verdict = verifyWorkload(leaf, domain.admitted(b), domain.trust, NOW_MS)
  assert.ok(!verdict.ok)
  assert.equal(verdict.reason, 'bad-signature')
})

test('a host with scopes cannot name a workload of another scope', async () => {
  const limited = await domain.host('limited', ['dev', 'test'])
  const signer = domain.admitted(limited)
  for (const [scope, reason] of [
    ['dev', 'ok'],
    ['devops', 'scope'],
    ['de', 'scope'],
    ['prod', 'scope']
  ] as const) {
    const leaf = await leafOf(limited, `spiffe://${TRUST_DOMAIN}/${scope}/web/nginx/default/limited`)
    const verdict = verifyWorkload(leaf, signer, domain.trust, NOW_MS)
    assert.equal(verdict.ok ? 'ok' : verdict.reason, reason)
  }
})

test('the reserved scope, a foreign trust domain and a path of another form name no workload', async () => {
  for (const id of [
    agentSpiffeId(TRUST_DOMAIN, 'a'),
    `spiffe://${TRUST_DOMAIN}/warren/web/nginx/default/a`,
    'spiffe://other.org/dev/web/nginx/default/a',
    `spiffe://${TRUST_DOMAIN}/dev/web/nginx/a`,
    `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/x/a`,
    `spiffe://${TRUST_DOMAIN}/dev/web/../default/a`,
    `spiffe://${TRUST_DOMAIN}/dev/web/%6eginx/default/a`,
    `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a?x`,
    `SPIFFE://${TRUST_DOMAIN}/dev/web/nginx/default/a`,
    `https://${TRUST_DOMAIN}/dev/web/nginx/default/a`
  ]) {
    assert.equal(await reasonFor([...good.slice(0, 3), ext.names(id)]), 'names', id)
  }
})

test('exactly one URI names a workload', async () => {
  const other = `spiffe://${TRUST_DOMAIN}/dev/web/other/default/a`
  assert.equal(await reasonFor([...good.slice(0, 3), ext.names(ID, other)]), 'names')
  assert.equal(await reasonFor([...good.slice(0, 3), ext.names(ID, ID)]), 'names')
  assert.equal(await reasonFor(good.slice(0, 3)), 'names')
  // OpenSSL refuses to check the signature of a certificate that has an extension twice.
  assert.equal(await reasonFor([...good, ext.names(other)]), 'bad-signature')
})

test('whose key a certificate is to be verified with is read from its one URI, or it is said why there is none', async () => {
  const claim = async (...names: x509.Extension[]): Promise<string> => {
    const verdict = claimedMachine(await forge({ issuer: a.issuer, extensions: [...good.slice(0, 3), ...names] }))
    return verdict.ok ? verdict.identity : verdict.detail
  }
  assert.equal(await claim(ext.names(ID)), 'a')
  assert.equal(await claim(ext.names(agentSpiffeId(TRUST_DOMAIN, 'b'))), 'b')
  const dns = { type: 'dns', value: 'web.example.org' } as const
  assert.equal(await claim(new x509.SubjectAlternativeNameExtension([dns, { type: 'url', value: ID }])), 'a')
  assert.equal(await claim(ext.names(ID, ID)), 'the certificate has 2 URI names, not one')
  assert.equal(await claim(), 'the certificate has 0 URI names, not one')
  assert.match(await claim(ext.names('https://example.org/a')), /names no machine/)
  const garbage = claimedMachine(Uint8Array.of(1, 2, 3))
  assert.ok(!garbage.ok && garbage.reason === 'malformed')
})

test('a name of another kind beside the URI, which SPIFFE allows, proves nothing and stands for none', async () => {
  const others: x509.JsonGeneralName[] = [
    { type: 'dns', value: 'web.example.org' },
    { type: 'email', value: 'root@example.org' },
    { type: 'ip', value: '192.0.2.1' }
  ]
  for (const other of others) {
    const uri = { type: 'url', value: ID } as const
    const beside = new x509.SubjectAlternativeNameExtension([other, uri])
    const leaf = await forge({ issuer: a.issuer, extensions: [...good.slice(0, 3), beside] })
    const verdict = verifyWorkload(leaf, signerA, domain.trust, NOW_MS)
    assert.ok(verdict.ok)
    assert.equal(verdict.identity.spiffeId, ID)
    const alone = new x509.SubjectAlternativeNameExtension([other])
    assert.equal(await reasonFor([...good.slice(0, 3), alone]), 'names')
  }
  const spelled = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: ID }])
  assert.equal(await reasonFor([...good.slice(0, 3), spelled]), 'names')
})

test('a signer that the verifier did not make is refused, whatever it says', async () => {
  const leaf = await leafOf(a, ID)
  const verdict = verifyWorkload(leaf, { ...signerA }, domain.trust, NOW_MS)
  assert.ok(!verdict.ok)
  assert.equal(verdict.reason, 'unknown-signer')
  const elsewhere = verifyWorkload(leaf, signerA, { ...domain.trust, trustDomain: 'other.org' }, NOW_MS)
  assert.ok(!elsewhere.ok)
  assert.equal(elsewhere.reason, 'unknown-signer')
  const rootless = verifyWorkload(leaf, signerA, { ...domain.trust, roots: [] }, NOW_MS)
  assert.ok(!rootless.ok)
  assert.equal(rootless.reason, 'wrong-root')
})

test('a CA is no workload', async () => {
  const [, , tls, names] = good
  const signer = ext.usage(USAGE.keyCertSign | USAGE.digitalSignature)
  assert.equal(await reasonFor([ext.basic(true), signer, tls, names]), 'is-a-ca')
  assert.equal(await reasonFor([ext.basic(true), good[1], tls, names]), 'is-a-ca')
  const binding = new x509.Extension(NODE_BINDING_OID, false, Uint8Array.of(4, 1, 0))
  assert.equal(await reasonFor([...good, binding]), 'is-a-ca')
  assert.equal(await reasonFor([ext.basic(false), signer, tls, names]), 'key-usage')
  const crl = ext.usage(USAGE.cRLSign | USAGE.digitalSignature)
  assert.equal(await reasonFor([ext.basic(false), crl, tls, names]), 'key-usage')
})

test('a certificate without the right usages is refused', async () => {
  const [basic, usage, tls, names] = good
  assert.equal(await reasonFor([basic, tls, names]), 'key-usage')
  assert.equal(await reasonFor([basic, ext.usage(USAGE.keyEncipherment), tls, names]), 'key-usage')
  assert.equal(await reasonFor([basic, usage, names]), 'extended-key-usage')
  assert.equal(await reasonFor([basic, usage, ext.tls(x509.ExtendedKeyUsage.serverAuth), names]), 'extended-key-usage')
  assert.equal(await reasonFor([basic, usage, ext.tls(x509.ExtendedKeyUsage.clientAuth), names]), 'extended-key-usage')
})

test('an unknown critical extension is refused', async () => {
  const odd = new x509.Extension('1.3.6.1.4.1.99999.1', true, Uint8Array.of(5, 0))
  assert.equal(await reasonFor([...good, odd]), 'unknown-critical-extension')
  const harmless = new x509.Extension('1.3.6.1.4.1.99999.1', false, Uint8Array.of(5, 0))
  assert.equal(await reasonFor([...good, harmless]), 'ok')
})

test('a certificate counts between its dates only, and only as long as that of its host', async () => {
  const early = await forge({ issuer: a.issuer, extensions: good, notBeforeMs: NOW_MS + 1_000 })
  assert.equal(reasonOf(early), 'not-yet-valid')
  const late = await forge({ issuer: a.issuer, extensions: good, notAfterMs: NOW_MS - 1_000 })
  assert.equal(reasonOf(late), 'expired')
  const long = await forge({ issuer: a.issuer, extensions: good, notAfterMs: NOW_MS + 300 * DAY_MS })
  const verdict = verifyWorkload(long, domain.admitted(a), domain.trust, NOW_MS)
  assert.ok(verdict.ok)
  assert.equal(verdict.identity.notAfterMs, domain.admitted(a).notAfterMs)
  assert.equal(reasonOf(long, NOW_MS + 31 * DAY_MS), 'expired')
})

test('only P-256 keys count', async () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey
  const ed25519 = generateKeyPairSync('ed25519').publicKey
  const keys = [
    p384.toCryptoKey({ name: 'ECDSA', namedCurve: 'P-384' }, true, ['verify']),
    rsa.toCryptoKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify']),
    ed25519.toCryptoKey({ name: 'Ed25519' }, true, ['verify'])
  ]
  for (const publicKey of keys) {
    assert.equal(reasonOf(await forge({ issuer: a.issuer, extensions: good, publicKey })), 'key-type')
  }
})

test('garbage, oversize and trailing bytes are refused, and nothing but a verdict comes out', async () => {
  const leaf = await leafOf(a, ID)
  assert.equal(reasonOf(new Uint8Array()), 'malformed')
  assert.equal(reasonOf(new Uint8Array(9_000)), 'too-large')
  assert.equal(reasonOf(Buffer.concat([leaf, Buffer.alloc(1)])), 'malformed')
  fc.assert(
    fc.property(fc.nat(leaf.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const mutated = Uint8Array.from(leaf)
      mutated[at] = (mutated[at] ?? 0) ^ flip
      assert.notEqual(reasonOf(mutated), 'ok')
    }),
    { numRuns: 300 }
  )
})

test('the certificate of an agent is that of its own machine only', async () => {
  const signer = domain.admitted(a)
  for (const [machine, ok] of [
    ['a', true],
    ['b', false]
  ] as const) {
    const leaf = await leafOf(a, agentSpiffeId(TRUST_DOMAIN, machine))
    assert.equal(verifyAgent(leaf, signer, domain.trust, NOW_MS).ok, ok)
  }
  assert.equal(verifyAgent(await leafOf(a, ID), signer, domain.trust, NOW_MS).ok, false)
})
