import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject
} from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type PeerKey, rawKeyOf } from '../../identity/index.ts'

const INFO = Buffer.from('warren-sealed-answer-v1\0')
const KEY_BYTES = 32
const TAG_BYTES = 16
// Each key encrypts one message.
const NONCE = Buffer.alloc(12)
const CIPHER = 'aes-256-gcm'

/** A key of one question: what is sealed to its public half, only its holder reads. */
export interface ReplyKey {
  readonly raw: Uint8Array
  readonly privateKey: KeyObject
}

/** What `seal` returns. */
export interface Sealed {
  /** Raw X25519 key of the author, made for this. */
  readonly key: Uint8Array
  readonly sealed: Uint8Array
}

export function makeReplyKey(): ReplyKey {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  return { raw: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'), privateKey }
}

/** Seals `plain` to a reply key. Throws MESSAGE_MALFORMED if that is no key. */
export function seal(plain: Uint8Array, replyKey: Uint8Array, author: PeerKey): Sealed {
  const own = makeReplyKey()
  const cipher = createCipheriv(CIPHER, keyOf(own.privateKey, replyKey, [replyKey, own.raw], author), NONCE)
  return { key: own.raw, sealed: Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]) }
}

/** What was sealed to a key of this host by `author`. Throws MESSAGE_MALFORMED. */
export function unseal({ key, sealed }: Sealed, reply: ReplyKey, author: PeerKey): Uint8Array {
  const secret = keyOf(reply.privateKey, key, [reply.raw, key], author)
  try {
    const decipher = createDecipheriv(CIPHER, secret, NONCE)
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw malformed(cause)
  }
}

function keyOf(own: KeyObject, other: Uint8Array, keys: readonly Uint8Array[], author: PeerKey): Uint8Array {
  if (other.length !== KEY_BYTES) throw malformed(undefined)
  try {
    const x = Buffer.from(other).toString('base64url')
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' })
    const secret = diffieHellman({ privateKey: own, publicKey })
    return Buffer.from(hkdfSync('sha256', secret, '', Buffer.concat([INFO, ...keys, rawKeyOf(author)]), KEY_BYTES))
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, 'a sealed answer is not usable', { cause })
}
