import { createCipheriv, createDecipheriv } from 'node:crypto'
import { type Aead, type Opener, requireKey, requireLengths, type Sealer, TAG_BYTES } from './aead.ts'

const CIPHER = 'aes-256-gcm'

/** Uses `node:crypto`, which is always available. Each message costs a cipher object and one or two buffers. */
export const nodeCrypto: Aead = {
  name: 'node:crypto',

  sealer(key): Sealer {
    requireKey(key)
    let open: Uint8Array | undefined = Uint8Array.from(key)
    return {
      seal(nonce, aad, plain, out) {
        requireLengths(nonce, plain.length + TAG_BYTES, out)
        const cipher = createCipheriv(CIPHER, requireOpen(open), nonce)
        cipher.setAAD(aad)
        out.set(cipher.update(plain))
        cipher.final()
        out.set(cipher.getAuthTag(), plain.length)
      },
      close: () => {
        open?.fill(0)
        open = undefined
      }
    }
  },

  opener(key): Opener {
    requireKey(key)
    let open: Uint8Array | undefined = Uint8Array.from(key)
    return {
      open(nonce, aad, sealed, out) {
        const size = sealed.length - TAG_BYTES
        requireLengths(nonce, size, out)
        const decipher = createDecipheriv(CIPHER, requireOpen(open), nonce, { authTagLength: TAG_BYTES })
        decipher.setAAD(aad)
        decipher.setAuthTag(sealed.subarray(size))
        const plain = decipher.update(sealed.subarray(0, size))
        try {
          decipher.final()
        } catch {
          return false
        }
        out.set(plain)
        return true
      },
      close: () => {
        open?.fill(0)
        open = undefined
      }
    }
  }
}

function requireOpen(key: Uint8Array | undefined): Uint8Array {
  if (key === undefined) throw new TypeError('it is closed')
  return key
}
