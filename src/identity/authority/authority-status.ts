import { ErrorCode, WarrenError } from '../../core/index.ts'
import { authorityPb, create } from '../../wire/index.ts'
import type { Issuer } from '../certificate/issue.ts'
import { CONTEXT, signP256, verifyP256 } from '../keys.ts'
import { type PeerKey, rawKeyOf } from '../peer-key.ts'
import type { TrustState } from '../trust-bundle.ts'
import { type AuthorityIdentity, verifyAuthority } from '../verify/index.ts'

const NONCE_BYTES = 32

/** The authority of this host, with a proof that the host has its key. Throws MESSAGE_MALFORMED. */
export function authorityStatusOf(
  authority: Issuer | undefined,
  hasRootKey: boolean,
  own: PeerKey,
  { nonce }: authorityPb.AuthorityStatusRequest
): authorityPb.AuthorityStatus {
  if (nonce.length !== NONCE_BYTES)
    throw new WarrenError(ErrorCode.MessageMalformed, 'the nonce does not have 32 bytes')
  if (authority === undefined) return create(authorityPb.AuthorityStatusSchema, { rootKey: hasRootKey })
  const { certificate, key } = authority
  const proof = signP256(key, CONTEXT.authorityStatus, statusContent(nonce, own))
  return create(authorityPb.AuthorityStatusSchema, { certificate, proof, rootKey: hasRootKey })
}

/**
 * The authority that `peer` holds; undefined if `peer` states that it has none.
 *
 * Throws CERTIFICATE_REFUSED for an authority that is not valid (expired and revoked ones too), and when the peer shows the
 * certificate of another host, whose key it does not have.
 */
export function openAuthorityStatus(
  { certificate, proof }: authorityPb.AuthorityStatus,
  peer: PeerKey,
  nonce: Uint8Array,
  trust: TrustState,
  nowMs: number
): AuthorityIdentity | undefined {
  if (certificate.length === 0) return undefined
  const verdict = verifyAuthority(certificate, trust, nowMs)
  if (!verdict.ok) throw new WarrenError(ErrorCode.CertificateRefused, verdict.detail)
  const { publicKey } = verdict.identity.certificate
  if (!verifyP256(publicKey, CONTEXT.authorityStatus, statusContent(nonce, peer), proof)) {
    throw new WarrenError(
      ErrorCode.CertificateRefused,
      'the host does not prove the key of the authority that it shows'
    )
  }
  return verdict.identity
}

// The signed bytes name the host, so that no host can use the proof of another one.
function statusContent(nonce: Uint8Array, peer: PeerKey): Uint8Array {
  return Buffer.concat([nonce, rawKeyOf(peer)])
}
