import { timingSafeEqual } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import { spkiSha256 } from '../certificate/binding.ts'
import { type Issuer, issueNode } from '../certificate/issue.ts'
import { parseCertificate } from '../certificate/parse.ts'
import { provenKey } from '../certificate/request.ts'
import { CONTEXT, verifyP256 } from '../keys.ts'
import type { PeerKey } from '../peer-key.ts'
import { admittedFromMs, evictionText, revocationOfHost } from '../revocation.ts'
import type { TrustState } from '../trust-bundle.ts'
import { type NodeIdentity, openBinding, verdictOf, verifyRenewable } from '../verify/index.ts'

/** The parts that any authority needs to renew the certificate of a host. */
export interface RenewDeps {
  /** Includes the revocations in force. */
  readonly trust: TrustState
  readonly authority: Issuer
  /** Lifetime of the new certificate, in milliseconds; it expires with the authority at the latest. */
  readonly lifetimeMs: number
  /** The time after its expiry in which a certificate can still be renewed, in milliseconds. */
  readonly graceMs: number
  /** The reason why the name belongs to another host now; undefined if this authority knows of none. */
  readonly successor: (current: NodeIdentity) => string | undefined
  readonly nowMs: number
}

export interface RenewedHost {
  /** DER of the new node CA certificate. */
  readonly certificate: Uint8Array
  readonly before: NodeIdentity
  /** The present certificate had expired. */
  readonly hadExpired: boolean
}

/**
 * Verifies a request for renewal and, if it is valid, issues the host's new node CA certificate.
 *
 * The new certificate equals the present one but for the key and the dates: machine, PeerId, scopes and the ephemeral mark can
 * be neither changed nor widened. `from` is the host that the mesh proved to be asking, if the request came over the mesh. Throws REVOKED for a
 * host that was evicted, CERTIFICATE_REFUSED when the chain or a proof is invalid, and RENEWAL_REFUSED with the reason: another
 * host's certificate, past the grace period, another machine, PeerId or other scopes, a name that another host holds.
 * CERTIFICATE_EXPIRED when the authority has expired, or expires no later than the certificate to renew.
 */
export async function admitRenewal(
  request: renewalPb.RenewalRequest,
  deps: RenewDeps,
  from: PeerKey | undefined
): Promise<RenewedHost> {
  const { trust, authority, nowMs } = deps
  const { binding } = request
  const before = present(request, deps)
  if (from !== undefined && from !== before.peer) throw refused('the certificate shown belongs to another host')
  if (binding === undefined) throw new WarrenError(ErrorCode.CertificateRefused, 'the request has no binding')
  const opened = verdictOf(() => openBinding(binding, trust.trustDomain))
  if (!opened.ok) throw new WarrenError(ErrorCode.CertificateRefused, opened.detail)
  const { machine, peer, scopes, ephemeral, nodeKeySha256 } = opened.identity
  if (peer !== before.peer) throw refused(`the request is for another PeerId than that of ${before.machine}`)
  if (machine !== before.machine) throw refused(`the certificate is for machine ${before.machine}, not ${machine}`)
  if (!areSame(new Set(scopes), new Set(before.scopes))) throw refused('the request is for other scopes')
  if (ephemeral !== before.ephemeral) throw refused('a host is ephemeral from its admission to its end, or never')
  if (!verifyP256(before.nodeCertificate.publicKey, CONTEXT.renewal, binding.binding, request.proof)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the request does not prove the key of the present certificate')
  }
  const publicKey = await provenKey(request.csr)
  if (!timingSafeEqual(spkiSha256(publicKey), nodeKeySha256)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the binding is for another key than the request')
  }
  // The next key may be one that was revoked earlier.
  const notEarlierMs = admittedFromMs(trust.revocations, machine)
  const keys = [Buffer.from(nodeKeySha256).toString('hex')]
  const revocation = revocationOfHost(trust.revocations, { machine, peer, keys, notBeforeMs: notEarlierMs })
  if (revocation !== undefined) throw new WarrenError(ErrorCode.Revoked, evictionText(machine, revocation))
  const successor = deps.successor(before)
  if (successor !== undefined) throw refused(successor)
  requireLonger(authority, before, nowMs)
  const { trustDomain } = trust
  const options = { trustDomain, machine, authority, publicKey, binding, nowMs, notEarlierMs }
  const certificate = await issueNode({ ...options, lifetimeMs: deps.lifetimeMs })
  return { certificate, before, hadExpired: nowMs >= before.notAfterMs }
}

function present({ nodeChain }: renewalPb.RenewalRequest, { trust, nowMs, graceMs }: RenewDeps): NodeIdentity {
  const verdict = verifyRenewable(nodeChain, trust, nowMs, graceMs)
  if (verdict.ok) return verdict.identity
  const { reason, detail } = verdict
  if (reason === 'revoked') throw new WarrenError(ErrorCode.Revoked, detail)
  if (reason === 'expired') throw refused(`the present certificate cannot be renewed: ${detail}`)
  throw new WarrenError(ErrorCode.CertificateRefused, `the present certificate: ${detail}`)
}

function requireLonger(authority: Issuer, before: NodeIdentity, nowMs: number): void {
  const { notAfterMs } = parseCertificate(authority.certificate)
  if (notAfterMs > nowMs && notAfterMs > before.notAfterMs) return
  const end = new Date(notAfterMs).toISOString()
  throw new WarrenError(ErrorCode.CertificateExpired, `the certificate of the authority itself ends at ${end}`)
}

// Compared as sets: with a count, a scope named twice would make room for one that the certificate does not have.
function areSame(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return some.size === others.size && [...some].every(one => others.has(one))
}

function refused(reason: string): WarrenError {
  return new WarrenError(ErrorCode.RenewalRefused, reason)
}
