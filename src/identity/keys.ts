import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes
} from 'node:crypto'
import { LruMap } from '../core/index.ts'
import { isEd25519Key } from './ed25519-form.ts'
import { formFault, isP256 } from './key-form.ts'

/**
 * The purpose of a signature. It is signed together with the bytes, so that a signature made for one purpose is never valid
 * for another.
 */
export const CONTEXT = Object.freeze({
  nodeBinding: 'warren-node-binding-v1',
  nodeHead: 'warren-node-head-v1',
  relayedAck: 'warren-relayed-ack-v1',
  answer: 'warren-answer-v1',
  question: 'warren-question-v1',
  trustBundle: 'warren-trust-bundle-v1',
  policyBundle: 'warren-policy-bundle-v1',
  policySet: 'warren-policy-set-v1',
  policyConfirmation: 'warren-policy-confirmation-v1',
  renewal: 'warren-renewal-v1',
  authorityOrder: 'warren-authority-order-v1',
  authorityStatus: 'warren-authority-status-v1',
  sessionProof: 'warren-session-proof-v1',
  joinCertificate: 'warren-join-certificate-v1',
  auditLog: 'warren-audit-log-v1'
})
export type Context = (typeof CONTEXT)[keyof typeof CONTEXT]

// The SubjectPublicKeyInfo of an Ed25519 key, up to the key: https://www.rfc-editor.org/rfc/rfc8410#section-4
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const ED25519_KEY_BYTES = 32

/** A fresh Ed25519 key: the libp2p key of a host, or the admin key. */
export function generatePeerKeyPair(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}

/** A fresh P-256 key, for certificates. */
export function generateSigningKeyPair(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/** The raw public half (32 bytes) of an Ed25519 key. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const spki = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'der', type: 'spki' })
  return Uint8Array.from(spki.subarray(-ED25519_KEY_BYTES))
}

/** A private key as PKCS#8 PEM. */
export function keyToPem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString()
}

const PEM_BLOCK = /-----BEGIN [^-]+-----/g

/**
 * A private key from PEM with exactly one block. Throws the error of node:crypto when it is not a key, or RangeError.
 *
 * The public half of a P-256 key is always in its one form, even if the file has another form.
 */
export function keyFromPem(pem: string | Buffer): KeyObject {
  // With several blocks, the library takes the first one that it can read.
  const blocks = pem.toString('latin1').match(PEM_BLOCK)?.length ?? 0
  if (blocks !== 1) throw new RangeError(`${blocks} blocks of PEM, not one`)
  const key = createPrivateKey(pem)
  const isOther = isP256(key) && formFault(createPublicKey(key)) !== undefined
  // A JWK names the curve and both coordinates, and nothing else.
  return isOther ? createPrivateKey({ key: key.export({ format: 'jwk' }), format: 'jwk' }) : key
}

/** Ed25519 over the context, a zero byte, and `bytes`. */
export function sign(key: KeyObject, context: Context, bytes: Uint8Array): Uint8Array {
  return signRaw(key, inContext(context, bytes))
}

/** Ed25519 over bytes that begin with their context already. */
export function signRaw(key: KeyObject, bytes: Uint8Array): Uint8Array {
  return signBytes(null, bytes, key)
}

const publicKeys = new LruMap<string, KeyObject>(4_096)

function publicKeyOf(rawKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, rawKey]), format: 'der', type: 'spki' })
}

/** Whether the raw public key made `signature` over `bytes` in this context. False for malformed input. */
export function verifySignature(
  rawKey: Uint8Array,
  context: Context,
  bytes: Uint8Array,
  signature: Uint8Array
): boolean {
  try {
    const text = Buffer.from(rawKey).toString('latin1')
    // Making the key object costs a third as much as a verification, so it is kept.
    if (!publicKeys.has(text) && !isEd25519Key(rawKey)) return false
    const key = publicKeys.getOrMake(text, () => publicKeyOf(rawKey))
    return verifyBytes(null, inContext(context, bytes), key, signature)
  } catch {
    return false
  }
}

/** ECDSA P-256 with SHA-256 in IEEE P1363 form, over the context, a zero byte, and `bytes`. */
export function signP256(key: KeyObject, context: Context, bytes: Uint8Array): Uint8Array {
  return signBytes('sha256', inContext(context, bytes), { key, dsaEncoding: 'ieee-p1363' })
}

/** The counterpart of `signP256`. False for malformed input. */
export function verifyP256(key: KeyObject, context: Context, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verifyBytes('sha256', inContext(context, bytes), { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

/** What is signed in a context. */
export function inContext(context: Context, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(context), Buffer.of(0), bytes])
}
