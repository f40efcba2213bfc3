import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { aes256Gcm, agrees } from '../../src/proxy/aead/index.ts'
import { libcrypto } from '../../src/proxy/aead/libcrypto.ts'
import { nodeCrypto } from '../../src/proxy/aead/node-crypto.ts'
import { aeadCompliance, key, message, nonce } from './support/aead-compliance.ts'

const native = libcrypto()

describe('AES-256-GCM', () => {
  it('is computed by the OpenSSL of this Node', () => {
    assert.equal(aes256Gcm().name, native.name)
  })

  it('is the same by both, and each opens what the other sealed', () => {
    fc.assert(
      fc.property(key, nonce, message, message, (key, nonce, aad, plain) => {
        const sealed = [native, nodeCrypto].map(aead => {
          const out = Buffer.alloc(plain.length + 16)
          aead.sealer(key).seal(nonce, aad, plain, out)
          return out
        })
        assert.deepEqual(sealed[0], sealed[1])
        for (const aead of [native, nodeCrypto]) {
          const out = Buffer.alloc(plain.length)
          assert.ok(aead.opener(key).open(nonce, aad, sealed[0]!, out))
          assert.deepEqual(out, Buffer.from(plain))
        }
      }),
      { numRuns: 200 }
    )
  })

  for (const aead of [native, nodeCrypto]) aeadCompliance(aead)

  it('is not taken from what computes something else', () => {
    const wrong = { ...nodeCrypto, sealer: (key: Uint8Array) => nodeCrypto.sealer(Buffer.from(key).reverse()) }
    assert.equal(agrees(wrong), false)
    const careless = { ...nodeCrypto, opener: (key: Uint8Array) => ({ ...nodeCrypto.opener(key), open: () => true }) }
    assert.equal(agrees(careless), false)
  })
})
