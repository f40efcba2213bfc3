import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { aes256Gcm, agrees } from '../../src/proxy/aead/index.ts'
import { libcrypto } from '../../src/proxy/aead/libcrypto.ts'
import { nodeCrypto } from '../../src/proxy/aead/node-crypto.ts'

const native = libcrypto()
const message = fc.uint8Array({ maxLength: 3_000 })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 })

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

  for (const aead of [native, nodeCrypto]) {
    describe(aead.name, () => {
      it('opens nothing of which a bit, the header, the nonce, the key or the length is another', () => {
        fc.assert(
          fc.property(key, nonce, message, message, fc.nat(), (key, nonce, aad, plain, at) => {
            const sealed = Buffer.alloc(plain.length + 16)
            aead.sealer(key).seal(nonce, aad, plain, sealed)
            const out = Buffer.alloc(plain.length)
            const opener = aead.opener(key)
            const flipped = (bytes: Uint8Array): Buffer => {
              const other = Buffer.from(bytes)
              other[at % other.length] = other[at % other.length]! ^ (1 << (at % 8))
              return other
            }
            assert.equal(opener.open(nonce, aad, flipped(sealed), out), false)
            assert.equal(opener.open(flipped(nonce), aad, sealed, out), false)
            if (aad.length > 0) assert.equal(opener.open(nonce, flipped(aad), sealed, out), false)
            assert.equal(aead.opener(flipped(key)).open(nonce, aad, sealed, out), false)
            if (plain.length > 0) assert.equal(opener.open(nonce, aad, sealed.subarray(1), out), false)
            assert.ok(opener.open(nonce, aad, sealed, out), 'a refused one spoils none that follows')
          }),
          { numRuns: 100 }
        )
      })

      it('seals and opens in place', () => {
        const bytes = Buffer.concat([Buffer.from('in place'), Buffer.alloc(16)])
        const [key, nonce] = [randomBytes(32), randomBytes(12)]
        aead.sealer(key).seal(nonce, Buffer.alloc(0), bytes.subarray(0, 8), bytes)
        assert.notEqual(bytes.toString('latin1', 0, 8), 'in place')
        assert.ok(aead.opener(key).open(nonce, Buffer.alloc(0), bytes, bytes))
        assert.equal(bytes.toString('latin1', 0, 8), 'in place')
      })

      it('writes no byte beyond what it was given room for', () => {
        const [key, nonce, none] = [randomBytes(32), randomBytes(12), Buffer.alloc(0)]
        const sealer = aead.sealer(key)
        const opener = aead.opener(key)
        assert.throws(() => sealer.seal(nonce, none, Buffer.alloc(10), Buffer.alloc(25)), RangeError)
        assert.throws(() => opener.open(nonce, none, Buffer.alloc(26), Buffer.alloc(9)), RangeError)
        assert.throws(() => opener.open(nonce, none, Buffer.alloc(15), Buffer.alloc(9)), RangeError)
        assert.throws(() => sealer.seal(Buffer.alloc(11), none, none, Buffer.alloc(16)), RangeError)
        assert.throws(() => aead.sealer(Buffer.alloc(31)), RangeError)
        const room = Buffer.alloc(64, 0xee)
        sealer.seal(nonce, none, Buffer.alloc(10), room.subarray(0, 40))
        assert.ok(room.subarray(26).every(byte => byte === 0xee))
      })

      it('is of no use once it is closed, and closing it twice does nothing', () => {
        const sealer = aead.sealer(randomBytes(32))
        const opener = aead.opener(randomBytes(32))
        for (const one of [sealer, opener, sealer, opener]) one.close()
        const [nonce, none] = [Buffer.alloc(12), Buffer.alloc(0)]
        assert.throws(() => sealer.seal(nonce, none, none, Buffer.alloc(16)), TypeError)
        assert.throws(() => opener.open(nonce, none, Buffer.alloc(16), none), TypeError)
      })
    })
  }

  it('is not taken from what computes something else', () => {
    const wrong = { ...nodeCrypto, sealer: (key: Uint8Array) => nodeCrypto.sealer(Buffer.from(key).reverse()) }
    assert.equal(agrees(wrong), false)
    const careless = { ...nodeCrypto, opener: (key: Uint8Array) => ({ ...nodeCrypto.opener(key), open: () => true }) }
    assert.equal(agrees(careless), false)
  })
})
