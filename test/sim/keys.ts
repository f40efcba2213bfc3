import { createHash, createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto'
import { CONTEXT, type PeerKey, peerKeyOf, sign, verifySignature } from '../../src/identity/index.ts'
import type { Admitted } from '../../src/registry/index.ts'

/** How heads are signed and verified. */
export interface Signer {
  readonly raw: Uint8Array
  readonly peer: PeerKey
  readonly sign: (bytes: Uint8Array) => Uint8Array
}

export type Verify = (raw: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean

/** A keyed hash in place of Ed25519, or the real thing. Either way a changed bit does not verify. */
export function signerOf(seed: number, machine: string, real: boolean): Signer {
  const secret = hash('sha256', `${seed} ${machine}`, 'buffer')
  if (!real) return { raw: secret, peer: peerKeyOf(secret), sign: bytes => fakeSign(secret, bytes) }
  const key = privateKeyOf(secret)
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { raw, peer: peerKeyOf(raw), sign: bytes => sign(key, CONTEXT.nodeHead, bytes) }
}

export function verifierOf(real: boolean): Verify {
  if (real) return (raw, bytes, signature) => verifySignature(raw, CONTEXT.nodeHead, bytes, signature)
  return (raw, bytes, signature) => fakeSign(raw, bytes).equals(signature)
}

function fakeSign(raw: Uint8Array, bytes: Uint8Array): Buffer {
  return createHash('sha512').update(raw).update(bytes).digest()
}

/** The Ed25519 key of a host, by its seed and name. */
export function hostKeyOf(seed: number, machine: string): KeyObject {
  return privateKeyOf(hash('sha256', `${seed} ${machine}`, 'buffer'))
}

// PKCS 8 of an Ed25519 key is this and its 32 bytes. https://www.rfc-editor.org/rfc/rfc8410#section-7
function privateKeyOf(secret: Uint8Array): KeyObject {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  return createPrivateKey({ key: Buffer.concat([prefix, secret]), format: 'der', type: 'pkcs8' })
}

/** A certificate chain: what it says, and a hash in place of the authority's signature. */
export function chainOf(identity: Admitted, serial: number): Uint8Array[] {
  const text = JSON.stringify({ ...identity, serial })
  return [Buffer.from(`${hash('sha256', `authority ${text}`, 'hex')}${text}`)]
}

/** What a chain proves at a wall time. */
export function admit(chain: readonly Uint8Array[], wallMs: number): Admitted | undefined {
  const text = Buffer.from(chain[0] ?? []).toString()
  if (text.slice(0, 64) !== hash('sha256', `authority ${text.slice(64)}`, 'hex')) return undefined
  const identity = JSON.parse(text.slice(64)) as Admitted
  return identity.notAfterMs > wallMs ? identity : undefined
}
