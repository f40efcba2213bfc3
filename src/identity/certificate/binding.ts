import { createHash, type KeyObject } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import { create, identityPb, toBinary } from '../../wire/index.ts'
import { CONTEXT, rawPublicKey, sign } from '../keys.ts'

/**
 * The private extension of a node CA certificate that holds its SignedNodeBinding, as an OCTET STRING.
 *
 * Under the arc for UUIDs (ITU-T X.667), which needs no registration; the UUID is
 * 4c6d2f0e-6c0b-4f6e-9a3d-2b1f0c7d5e81.
 */
export const NODE_BINDING_OID = '2.25.101588242453117603732338922532611382913'

export interface Binding {
  readonly trustDomain: string
  readonly machine: string
  /** Raw Ed25519 public key. */
  readonly peerPublicKey: Uint8Array
  /** SHA-256 of the node CA key's SubjectPublicKeyInfo. */
  readonly nodeKeySha256: Uint8Array
  readonly scopes: readonly string[]
}

/** SHA-256 over the SubjectPublicKeyInfo (DER) of a key. */
export function spkiSha256(publicKey: KeyObject): Uint8Array {
  return createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest()
}

/** The binding of a host, signed by its libp2p key: its consent to be this machine with this CA key. */
export function signBinding(binding: Omit<Binding, 'peerPublicKey'>, peerKey: KeyObject): identityPb.SignedNodeBinding {
  const bytes = toBinary(
    identityPb.NodeBindingSchema,
    create(identityPb.NodeBindingSchema, {
      trustDomain: binding.trustDomain,
      machine: binding.machine,
      peerPublicKey: rawPublicKey(peerKey),
      nodeKeySha256: binding.nodeKeySha256,
      scopes: [...binding.scopes]
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

/** The bytes inside the extension. Throws when it is no OCTET STRING. */
export function bindingFromExtension(value: ArrayBuffer): Uint8Array {
  return new Uint8Array(AsnConvert.parse(value, OctetString).buffer)
}
