import { createHash, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { create, decode, identityPb, toBinary } from '../wire/index.ts'
import { parseTrustDomain } from './address.ts'
import { type ParsedCertificate, parseCertificate } from './certificate/parse.ts'
import { CONTEXT, signP256, verifyP256 } from './keys.ts'
import type { Revocation } from './revocation.ts'

/** What the judge judges by: the roots and the admin key, believed without proof, and who is trusted no more. Frozen. */
export interface TrustState {
  readonly trustDomain: string
  readonly version: bigint
  readonly roots: readonly ParsedCertificate[]
  /** Raw Ed25519 key (32 bytes). */
  readonly adminPublicKey: Uint8Array
  /** Those of the policy in force. A trust bundle itself has none. */
  readonly revocations: readonly Revocation[]
}

export const MAX_TRUST_BUNDLE_BYTES = 64 * 1024
const MAX_ROOTS = 4

/** A trust bundle signed by a root that is in it. Bytes of a SignedTrustBundle. */
export function signTrustBundle(
  bundle: {
    readonly trustDomain: string
    readonly version: bigint
    readonly root: Uint8Array
    readonly adminPublicKey: Uint8Array
    readonly nowMs: number
  },
  rootKey: KeyObject
): Uint8Array {
  const bytes = toBinary(
    identityPb.TrustBundleSchema,
    create(identityPb.TrustBundleSchema, {
      trustDomain: bundle.trustDomain,
      version: bundle.version,
      roots: [bundle.root],
      adminPublicKey: bundle.adminPublicKey,
      issuedAtMs: BigInt(bundle.nowMs)
    })
  )
  const rootSha256 = createHash('sha256').update(bundle.root).digest()
  const signature = signP256(rootKey, CONTEXT.trustBundle, bytes)
  return toBinary(
    identityPb.SignedTrustBundleSchema,
    create(identityPb.SignedTrustBundleSchema, { bundle: bytes, signatures: [{ rootSha256, signature }] })
  )
}

/**
 * Opens a trust bundle that must be signed by the root with this fingerprint (hex SHA-256 of its DER).
 *
 * The signature is checked before anything that the bundle says is used. Throws SIGNATURE_INVALID, MESSAGE_TOO_LARGE or
 * MESSAGE_MALFORMED.
 */
export function openTrustBundle(signed: Uint8Array, pinnedRootSha256: string): TrustState {
  const envelope = decode(identityPb.SignedTrustBundleSchema, signed, MAX_TRUST_BUNDLE_BYTES)
  const message = decode(identityPb.TrustBundleSchema, envelope.bundle, MAX_TRUST_BUNDLE_BYTES)
  // Only to find the pinned root's key: the fingerprint decides, not the bundle.
  const pinned = message.roots.find(der => createHash('sha256').update(der).digest('hex') === pinnedRootSha256)
  const signature = envelope.signatures.find(
    candidate => Buffer.from(candidate.rootSha256).toString('hex') === pinnedRootSha256
  )
  if (pinned === undefined || signature === undefined) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the trust bundle is not of the pinned root')
  }
  if (message.roots.length > MAX_ROOTS || message.version === 0n || message.adminPublicKey.length !== 32) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle is not usable')
  }
  let roots: ParsedCertificate[]
  try {
    parseTrustDomain(message.trustDomain)
    roots = message.roots.map(parseCertificate)
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle has a root or a name that cannot be read', {
      cause
    })
  }
  const key = roots.find(root => root.sha256 === pinnedRootSha256)?.publicKey
  if (key === undefined || !verifyP256(key, CONTEXT.trustBundle, envelope.bundle, signature.signature)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the trust bundle is not signed by the pinned root')
  }
  return Object.freeze({
    trustDomain: message.trustDomain,
    version: message.version,
    roots: Object.freeze(roots),
    adminPublicKey: Uint8Array.from(message.adminPublicKey),
    revocations: Object.freeze([])
  })
}
