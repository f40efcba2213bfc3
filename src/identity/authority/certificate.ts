import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { authorityPb, create } from '../../wire/index.ts'
import { type Issuer, issueAuthority } from '../certificate/issue.ts'
import { provenKey, requestFor } from '../certificate/request.ts'
import type { TrustState } from '../trust-bundle.ts'
import { type AuthorityIdentity, verifyAuthority } from '../verify/index.ts'

/** A PKCS#10 request (DER) for an authority certificate. */
export async function authorityRequest(machine: string, key: KeyObject): Promise<Uint8Array> {
  return await requestFor(machine, key)
}

/** Issues an authority certificate (DER) for the key that a request proves. Throws CERTIFICATE_REFUSED. */
export async function admitAuthority(
  csr: Uint8Array,
  deps: {
    readonly trustDomain: string
    readonly root: Issuer
    readonly lifetimeMs: number
    readonly nowMs: number
  }
): Promise<Uint8Array> {
  return await issueAuthority({ ...deps, publicKey: await provenKey(csr) })
}

/** A request for a new certificate for the key that an authority has. */
export async function authorityRenewal(
  machine: string,
  { certificate, key }: Issuer
): Promise<authorityPb.AuthorityRenewal> {
  return create(authorityPb.AuthorityRenewalSchema, { certificate, csr: await requestFor(machine, key) })
}

/**
 * Verifies the request of an authority and issues its next certificate (DER), for the same key.
 *
 * Throws CERTIFICATE_REFUSED when the present certificate is not valid (it may have expired less than `graceMs` ago) or the
 * request does not prove its key; REVOKED.
 */
export async function admitAuthorityRenewal(
  { certificate, csr }: authorityPb.AuthorityRenewal,
  deps: {
    readonly trust: TrustState
    readonly root: Issuer
    readonly lifetimeMs: number
    readonly graceMs: number
    readonly nowMs: number
  }
): Promise<Uint8Array> {
  const { trust, root, lifetimeMs, graceMs, nowMs } = deps
  const verdict = verifyAuthority(certificate, trust, nowMs, graceMs)
  if (!verdict.ok) {
    const code = verdict.reason === 'revoked' ? ErrorCode.Revoked : ErrorCode.CertificateRefused
    throw new WarrenError(code, `the present certificate: ${verdict.detail}`)
  }
  const publicKey = await provenKey(csr)
  if (!publicKey.equals(verdict.identity.certificate.publicKey)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the request does not prove the key of the certificate')
  }
  return await issueAuthority({ trustDomain: trust.trustDomain, root, publicKey, lifetimeMs, nowMs })
}

/** Verifies a certificate that was issued for the authority key of this host. Throws CERTIFICATE_REFUSED or REVOKED. */
export function requireAuthority(
  certificate: Uint8Array,
  key: KeyObject,
  trust: TrustState,
  nowMs: number
): AuthorityIdentity {
  const verdict = verifyAuthority(certificate, trust, nowMs)
  if (!verdict.ok) {
    const code = verdict.reason === 'revoked' ? ErrorCode.Revoked : ErrorCode.CertificateRefused
    throw new WarrenError(code, `the certificate received: ${verdict.detail}`)
  }
  if (!verdict.identity.certificate.publicKey.equals(createPublicKey(key))) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate received is for another key')
  }
  return verdict.identity
}
