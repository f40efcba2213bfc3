import koffi from 'koffi'
import { type Aead, type Opener, requireKey, requireLengths, type Sealer, TAG_BYTES } from './aead.ts'

// openssl/evp.h
const CTRL_GET_TAG = 0x10
const CTRL_SET_TAG = 0x11
const ENCRYPT = 1
const DECRYPT = 0
/** Larger messages are refused before OpenSSL reads the length as a negative `int`. */
const MAX_BYTES = 0x7fff_0000

interface Context {
  pointer: unknown
}

/**
 * Uses the OpenSSL inside Node itself: the executable exports its symbols for addons.
 *
 * Unlike `node:crypto` it keeps one cipher for all messages and writes to a given buffer: measured, 1.5 µs for a
 * message of 512 bytes instead of 12. Throws if unavailable.
 */
export function libcrypto(): Aead {
  const lib = koffi.load(null)
  const contextNew = lib.func('void *EVP_CIPHER_CTX_new()')
  const contextFree = lib.func('void EVP_CIPHER_CTX_free(void *context)')
  const aes256Gcm = lib.func('void *EVP_aes_256_gcm()')
  const init = lib.func(
    'int EVP_CipherInit_ex(void *context, void *type, void *engine, const uint8_t *key, const uint8_t *iv, int encrypt)'
  )
  const update = lib.func(
    'int EVP_CipherUpdate(void *context, uint8_t *out, int *outSize, const uint8_t *in, int inSize)'
  )
  const final = lib.func('int EVP_CipherFinal_ex(void *context, uint8_t *out, int *outSize)')
  const control = lib.func('int EVP_CIPHER_CTX_ctrl(void *context, int type, int size, uint8_t *bytes)')
  const cipher: unknown = aes256Gcm()
  if (cipher === null) throw new Error('AES-256-GCM is unavailable')

  // GCM writes exactly as much as it reads, and at the end nothing.
  const written = new Int32Array(1)
  const nothing = new Uint8Array(TAG_BYTES)
  // One for all messages: a view of a tag in its message would be an object for each.
  const tag = new Uint8Array(TAG_BYTES)
  // A cipher that is never closed does not leak memory for good.
  const forgotten = new FinalizationRegistry<unknown>(pointer => contextFree(pointer))

  const make = (key: Uint8Array, direction: number): Context => {
    requireKey(key)
    const pointer: unknown = contextNew()
    if (pointer === null) throw new Error('EVP_CIPHER_CTX_new failed')
    const context = { pointer }
    forgotten.register(context, pointer, context)
    if (init(pointer, cipher, null, key, null, direction) !== 1) throw new Error('EVP_CipherInit_ex failed')
    return context
  }
  const requireOpen = ({ pointer }: Context): unknown => {
    if (pointer === undefined) throw new TypeError('it is closed')
    return pointer
  }
  const close = (context: Context): void => {
    if (context.pointer === undefined) return
    forgotten.unregister(context)
    contextFree(context.pointer)
    context.pointer = undefined
  }
  /** Processes all of a message but its tag. */
  const run = (
    pointer: unknown,
    direction: number,
    nonce: Uint8Array,
    aad: Uint8Array,
    from: Uint8Array,
    size: number,
    to: Uint8Array
  ): void => {
    if (size > MAX_BYTES) throw new RangeError(`a message of ${size} bytes`)
    const isDone =
      init(pointer, null, null, null, nonce, direction) === 1 &&
      (aad.length === 0 || update(pointer, null, written, aad, aad.length) === 1) &&
      (size === 0 || update(pointer, to, written, from, size) === 1)
    if (!isDone) throw new Error('EVP_CipherUpdate failed')
  }

  return {
    name: 'OpenSSL of Node',

    sealer(key): Sealer {
      const context = make(key, ENCRYPT)
      return {
        seal(nonce, aad, plain, out) {
          requireLengths(nonce, plain.length + TAG_BYTES, out)
          const pointer = requireOpen(context)
          run(pointer, ENCRYPT, nonce, aad, plain, plain.length, out)
          const isDone = final(pointer, nothing, written) === 1 && control(pointer, CTRL_GET_TAG, TAG_BYTES, tag) === 1
          if (!isDone) throw new Error('EVP_CipherFinal_ex failed')
          out.set(tag, plain.length)
        },
        close: () => close(context)
      }
    },

    opener(key): Opener {
      const context = make(key, DECRYPT)
      return {
        open(nonce, aad, sealed, out) {
          const size = sealed.length - TAG_BYTES
          requireLengths(nonce, size, out)
          const pointer = requireOpen(context)
          run(pointer, DECRYPT, nonce, aad, sealed, size, out)
          for (let at = 0; at < TAG_BYTES; at += 1) tag[at] = sealed[size + at] ?? 0
          if (control(pointer, CTRL_SET_TAG, TAG_BYTES, tag) !== 1) throw new Error('the tag was refused')
          return final(pointer, nothing, written) === 1
        },
        close: () => close(context)
      }
    }
  }
}
