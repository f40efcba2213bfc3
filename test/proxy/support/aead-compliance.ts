import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Aead } from '../../../src/proxy/aead/index.ts'

export const message = fc.uint8Array({ maxLength: 3_000 })
export const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
export const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 })

const TAG_BYTES = 16
const hex = (text: string): Buffer => Buffer.from(text, 'hex')

/** Of "The Galois/Counter Mode of Operation" (McGrew, Viega), the cases with keys of 256 bits. */
const VECTORS = [
  {
    name: 'test case 13',
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    aad: '',
    plain: '',
    sealed: '530f8afbc74536b9a963b4f1c4cb738b'
  },
  {
    name: 'test case 14',
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    aad: '',
    plain: '00'.repeat(16),
    sealed: 'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919'
  },
  {
    name: 'test case 16',
    key: 'feffe9928665731c6d6a8f9467308308'.repeat(2),
    nonce: 'cafebabefacedbaddecaf888',
    aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b'
  }
] as const

/** What whoever computes AES-256-GCM here must do. */
export function aeadCompliance(aead: Aead): void {
  describe(aead.name, () => {
    for (const { name, key, nonce, aad, plain, sealed } of VECTORS) {
      it(`seals and opens as published: ${name}`, () => {
        const out = Buffer.alloc(sealed.length / 2)
        aead.sealer(hex(key)).seal(hex(nonce), hex(aad), hex(plain), out)
        assert.equal(out.toString('hex'), sealed)
        const opened = Buffer.alloc(plain.length / 2)
        assert.ok(aead.opener(hex(key)).open(hex(nonce), hex(aad), hex(sealed), opened))
        assert.equal(opened.toString('hex'), plain)
      })
    }

    it('seals one message after another, each for itself, under keys that are each for themselves', () => {
      const keys = [randomBytes(32), randomBytes(32)]
      const [sealers, openers] = [keys.map(aead.sealer), keys.map(aead.opener)]
      const aad = Buffer.from('header')
      for (const size of [0, 1, 15, 16, 17, 1_452, 65_536, 262_144, 0, 3]) {
        const plain = randomBytes(size)
        const nonce = randomBytes(12)
        const sealed = sealers.map(sealer => {
          const out = Buffer.alloc(size + TAG_BYTES)
          sealer.seal(nonce, aad, plain, out)
          return out
        })
        for (const [index, opener] of openers.entries()) {
          const out = Buffer.alloc(size)
          assert.equal(opener.open(nonce, aad, sealed[1 - index]!, out), false)
          assert.ok(opener.open(nonce, aad, sealed[index]!, out))
          assert.ok(out.equals(plain))
        }
      }
    })

    it('keeps its key, whatever becomes of the memory that it came in, and reads nothing that it was not given', () => {
      const memory = randomBytes(32)
      const key = Buffer.from(memory)
      const sealer = aead.sealer(memory)
      memory.fill(0)
      const room = Buffer.concat([Buffer.alloc(7, 0xaa), Buffer.from('content'), Buffer.alloc(9, 0xbb)])
      const nonce = randomBytes(12)
      const sealed = Buffer.alloc(7 + TAG_BYTES)
      sealer.seal(nonce, Buffer.alloc(0), room.subarray(7, 14), sealed)
      const out = Buffer.alloc(7)
      assert.ok(aead.opener(key).open(nonce, Buffer.alloc(0), sealed, out))
      assert.equal(out.toString(), 'content')
    })

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
