import { createHash, type KeyObject } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import { create, identityPb, toBinary } from '../../wire/index.ts'
import { requireCanonical } from '../key-form.ts'
import { CONTEXT, rawPublicKey, sign } from '../keys.ts'

/**
 * The private extension of a node CA certificate that holds its SignedNodeBinding, as an OCTET STRING.
 *
 * The OID is in the arc that Microsoft keeps for OIDs made from GUIDs, since warren has no enterprise number; the GUID is
 * 4c6d2f0e-6c0b-4f6e-9a3d-2b1f0c7d5e81. The arc 2.25 is not used: the ASN.1 library cuts off its one 128-bit component.
 */
export const NODE_BINDING_OID = '1.2.840.113556.1.8000.2554.19565.12046.27659.20334.39485.2825996.8216193'

export interface Binding {
  readonly trustDomain: string
  readonly machine: string
  /** Raw Ed25519 public key. */
  readonly peerPublicKey: Uint8Array
  /** SHA-256 of the node CA key's SubjectPublicKeyInfo. */
  readonly nodeKeySha256: Uint8Array
  readonly scopes: readonly string[]
  /** The host leaves the mesh when it ends. @default false */
  readonly ephemeral?: boolean
}

/**
 * SHA-256 over the SubjectPublicKeyInfo (DER) of a P-256 key: a revocation names a key by this hash. Throws CERTIFICATE_REFUSED
 * for a key that is not in its one form, since the same key must not have two hashes.
 */
export function spkiSha256(publicKey: KeyObject): Uint8Array {
  const known = hashes.get(publicKey)
  if (known !== undefined) return Uint8Array.from(known)
  requireCanonical(publicKey, 'the key')
  const hash = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest()
  hashes.set(publicKey, hash)
  return Uint8Array.from(hash)
}

// Each chain has the same two upper keys, and is verified more than once; an export costs as much as a signature.
const hashes = new WeakMap<KeyObject, Uint8Array>()

/** The binding of a host, signed by its libp2p key: the host agrees to be this machine with this CA key. */
export function signBinding(binding: Omit<Binding, 'peerPublicKey'>, peerKey: KeyObject): identityPb.SignedNodeBinding {
  const bytes = toBinary(
    identityPb.NodeBindingSchema,
    create(identityPb.NodeBindingSchema, {
      trustDomain: binding.trustDomain,
      machine: binding.machine,
      peerPublicKey: rawPublicKey(peerKey),
      nodeKeySha256: binding.nodeKeySha256,
      scopes: [...binding.scopes],
      ephemeral: binding.ephemeral ?? false
    })
  )
  return create(identityPb.SignedNodeBindingSchema, {
    binding: bytes,
    signature: sign(peerKey, CONTEXT.nodeBinding, bytes)
  })
}

/** The value of the extension. */
export function bindingToExtension(signed: identityPb.SignedNodeBinding): ArrayBuffer {
  return AsnConvert.serialize(new OctetString(toBinary(identityPb.SignedNodeBindingSchema, signed)))
}

/** The bytes inside the extension. Throws when it is not an OCTET STRING. */
export function bindingFromExtension(value: ArrayBuffer): Uint8Array {
  return new Uint8Array(AsnConvert.parse(value, OctetString).buffer)
}
