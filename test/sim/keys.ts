import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto'
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
  if (!real) return { raw: secret, peer: peerKeyOf(secret), sign: bytes => made(secret, bytes) }
  const key = privateKeyOf(secret)
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { raw, peer: peerKeyOf(raw), sign: bytes => sign(key, CONTEXT.nodeHead, bytes) }
}

export function verifierOf(real: boolean): Verify {
  if (real) return (raw, bytes, signature) => verifySignature(raw, CONTEXT.nodeHead, bytes, signature)
  return (raw, bytes, signature) => {
    const known = MADE.get(Buffer.from(signature).toString('latin1'))
    if (known !== undefined) return known.bytes.equals(bytes) && known.raw.equals(raw)
    return fakeSign(raw, bytes).equals(signature)
  }
}

/** Signatures with what they sign: all hosts verify each head, and to compare takes a tenth of a hash. The oldest are forgotten. */
const MADE = new Map<string, { readonly raw: Buffer; readonly bytes: Buffer }>()
const MAX_MADE = 20_000

function made(raw: Buffer, bytes: Uint8Array): Buffer {
  const signature = fakeSign(raw, bytes)
  MADE.set(signature.toString('latin1'), { raw, bytes: Buffer.from(bytes) })
  const [oldest] = MADE.size > MAX_MADE ? MADE.keys() : []
  if (oldest !== undefined) MADE.delete(oldest)
  return signature
}

function fakeSign(raw: Uint8Array, bytes: Uint8Array): Buffer {
  return hash('sha512', Buffer.concat([raw, bytes]), 'buffer')
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
  const identity = ADMITTED.get(text) ?? identityIn(text)
  return identity !== undefined && identity.notAfterMs > wallMs ? identity : undefined
}

/** What each chain says that an authority has signed. */
const ADMITTED = new Map<string, Admitted>()
const MAX_ADMITTED = 20_000

function identityIn(text: string): Admitted | undefined {
  if (text.slice(0, 64) !== hash('sha256', `authority ${text.slice(64)}`, 'hex')) return undefined
  const identity = JSON.parse(text.slice(64)) as Admitted
  if (ADMITTED.size >= MAX_ADMITTED) ADMITTED.clear()
  ADMITTED.set(text, identity)
  return identity
}
