import type { Aead } from './aead.ts'
import { libcrypto } from './libcrypto.ts'
import { nodeCrypto } from './node-crypto.ts'

export { type Aead, KEY_BYTES, NONCE_BYTES, type Opener, type Sealer, TAG_BYTES } from './aead.ts'

export type { Exporter, Sender } from './exporter.ts'

let chosen: Aead | undefined

/**
 * AES-256-GCM for data that travels outside TLS. Uses Node's own OpenSSL if it is available and computes the same as
 * `node:crypto`.
 */
export function aes256Gcm(): Aead {
  chosen ??= firstThatWorks([libcrypto, () => nodeCrypto])
  return chosen
}

function firstThatWorks(candidates: readonly (() => Aead)[]): Aead {
  for (const candidate of candidates) {
    try {
      const aead = candidate()
      if (agrees(aead)) return aead
    } catch {
      // Node was built without it, or with other symbols.
    }
  }
  return nodeCrypto
}

/** Whether it seals as `node:crypto` does, opens the result, and refuses it when one bit differs. */
export function agrees(aead: Aead): boolean {
  const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index))
  const nonce = Buffer.alloc(12, 7)
  const aad = Buffer.from('header')
  const plain = Buffer.alloc(100, 'warren')
  const [expected, sealed, opened] = [Buffer.alloc(116), Buffer.alloc(116), Buffer.alloc(100)]
  nodeCrypto.sealer(key).seal(nonce, aad, plain, expected)
  const sealer = aead.sealer(key)
  const opener = aead.opener(key)
  try {
    sealer.seal(nonce, aad, plain, sealed)
    if (!sealed.equals(expected) || !opener.open(nonce, aad, sealed, opened) || !opened.equals(plain)) return false
    sealed[50] = (sealed[50] ?? 0) ^ 1
    return !opener.open(nonce, aad, sealed, opened)
  } finally {
    sealer.close()
    opener.close()
  }
}
