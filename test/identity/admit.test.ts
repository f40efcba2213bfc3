import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import test from 'node:test'
import * as x509 from '@peculiar/x509'
import { WarrenError } from '../../src/core/index.ts'
import { generatePeerKeyPair, generateSigningKeyPair, signBinding, spkiSha256 } from '../../src/identity/index.ts'
import { create, identityPb } from '../../src/wire/index.ts'
import { admitByToken, domain, MemoryTokens } from './authority.ts'
import { NOW_MS, TRUST_DOMAIN } from './domain.ts'

const P256 = { name: 'ECDSA', namedCurve: 'P-256' }
const nodeKey = generateSigningKeyPair()

async function csrOf(key: KeyObject, algorithm = P256): Promise<Uint8Array> {
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=b',
    keys: {
      privateKey: key.toCryptoKey(algorithm, true, ['sign']),
      publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify'])
    },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' }
  })
  return new Uint8Array(csr.rawData)
}

const csr = await csrOf(nodeKey)
const bindingOf = (change: Partial<Parameters<typeof signBinding>[0]>) => {
  const nodeKeySha256 = spkiSha256(createPublicKey(nodeKey))
  return signBinding(
    { trustDomain: TRUST_DOMAIN, machine: 'b', scopes: [], nodeKeySha256, ...change },
    generatePeerKeyPair()
  )
}

interface Change {
  readonly tokenId?: Uint8Array
  readonly secret?: Uint8Array
  readonly csr?: Uint8Array
  readonly binding?: identityPb.SignedNodeBinding
}

/** With which code a request for machine b is refused that is good but for `change`; a good one is admitted after it. */
async function refusedWith(change: Change): Promise<string> {
  const tokens = new MemoryTokens()
  const [secret, id] = [randomBytes(32), randomBytes(16)]
  const kept = { machine: 'b', scopes: [], createdAtMs: NOW_MS, expiresAtMs: NOW_MS + 1 }
  const secretSha256 = createHash('sha256').update(secret).digest('hex')
  tokens.add({
    ...kept,
    id: id.toString('hex'),
    secretSha256,
    revokedAtMs: undefined
  })
  const good = { tokenId: id, secret, csr, binding: bindingOf({}) }
  const { authority } = domain
  const deps = {
    trustDomain: TRUST_DOMAIN,
    ledger: tokens,
    authority,
    taken: () => undefined,
    peerOf: () => undefined,
    revocations: () => [],
    nowMs: () => NOW_MS
  }
  const admit = (parts: Change) => admitByToken(create(identityPb.JoinRequestSchema, parts), deps)
  const code = await admit({ ...good, ...change }).then(
    () => 'admitted',
    (err: unknown) => {
      assert.ok(err instanceof WarrenError)
      return err.code
    }
  )
  const isSpent = (): boolean => tokens.usesOf(id.toString('hex')).length > 0
  assert.equal(isSpent(), code === 'admitted')
  if (code !== 'admitted') await admit(good)
  assert.ok(isSpent())
  return code
}

test('a request that proves both keys is admitted', async () => {
  assert.equal(await refusedWith({}), 'admitted')
})

test('a certificate request that cannot be read, or proves no P-256 key, is refused and does not cost the token', async () => {
  assert.equal(await refusedWith({ csr: new Uint8Array() }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ csr: randomBytes(300) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ csr: new Uint8Array(4_097) }), 'MESSAGE_TOO_LARGE')
  const damaged = csr.with(csr.length - 1, (csr.at(-1) ?? 0) ^ 1)
  assert.equal(await refusedWith({ csr: damaged }), 'CERTIFICATE_REFUSED')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const p384 = await csrOf(privateKey, { name: 'ECDSA', namedCurve: 'P-384' })
  assert.equal(await refusedWith({ csr: p384 }), 'CERTIFICATE_REFUSED')
})

test('a binding that is missing, of another key, machine or trust domain is refused and does not cost the token', async () => {
  assert.equal(await refusedWith({ csr: await csrOf(generateSigningKeyPair()) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: create(identityPb.SignedNodeBindingSchema) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ nodeKeySha256: randomBytes(32) }) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ nodeKeySha256: randomBytes(31) }) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ trustDomain: 'other.org' }) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ scopes: ['warren'] }) }), 'CERTIFICATE_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ machine: 'c' }) }), 'TOKEN_REFUSED')
  assert.equal(await refusedWith({ binding: bindingOf({ scopes: ['dev'] }) }), 'TOKEN_REFUSED')
})

test('an id or a secret of any other length or content is refused', async () => {
  for (const bytes of [0, 15, 17, 60_000]) {
    assert.equal(await refusedWith({ tokenId: new Uint8Array(bytes) }), 'TOKEN_REFUSED')
    assert.equal(await refusedWith({ secret: new Uint8Array(bytes) }), 'TOKEN_REFUSED')
  }
})
