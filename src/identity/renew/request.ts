import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { create, renewalPb } from '../../wire/index.ts'
import { signBinding, spkiSha256 } from '../certificate/binding.ts'
import { requestFor } from '../certificate/request.ts'
import { CONTEXT, signP256 } from '../keys.ts'
import type { TrustState } from '../trust-bundle.ts'
import { type NodeIdentity, verifyNodeChain } from '../verify/index.ts'

/** The keys of a host that renews its certificate. */
export interface RenewKeys {
  /** Ed25519: the libp2p key, which stays. */
  readonly peerKey: KeyObject
  /** P-256: the node CA key of the present certificate. */
  readonly nodeKey: KeyObject
  /** P-256: the node CA key of the next certificate. */
  readonly nextKey: KeyObject
}

/** A request for a certificate that equals the present one, for another node CA key. */
export async function renewalRequest(
  current: NodeIdentity,
  trustDomain: string,
  { peerKey, nodeKey, nextKey }: RenewKeys
): Promise<renewalPb.RenewalRequest> {
  const { machine, scopes, ephemeral, chainDer } = current
  const nodeKeySha256 = spkiSha256(createPublicKey(nextKey))
  const binding = signBinding({ trustDomain, machine, scopes, ephemeral, nodeKeySha256 }, peerKey)
  return create(renewalPb.RenewalRequestSchema, {
    nodeChain: chainDer.map(der => Uint8Array.from(der)),
    csr: await requestFor(machine, nextKey),
    binding,
    proof: signP256(nodeKey, CONTEXT.renewal, binding.binding)
  })
}

/**
 * Verifies the chain in an authority's answer like that of a stranger; it must be for this host and for `nextKey`, and
 * expire after the present one or be below another root. Throws CERTIFICATE_REFUSED.
 */
export function requireRenewed(
  chain: readonly Uint8Array[],
  current: NodeIdentity,
  nextKey: KeyObject,
  trust: TrustState,
  nowMs: number
): NodeIdentity {
  const verdict = verifyNodeChain(chain, trust, nowMs)
  if (!verdict.ok) throw refused(verdict.detail)
  const { machine, peer, scopes, nodeCertificate, notAfterMs } = verdict.identity
  const isOurs = machine === current.machine && peer === current.peer && scopes.join() === current.scopes.join()
  if (!isOurs || !nodeCertificate.publicKey.equals(createPublicKey(nextKey))) throw refused('it is not for this host')
  // A certificate below another root is a gain even if it was made in the same second.
  const isSameRoot = Buffer.from(chain[2] ?? []).equals(current.chainDer[2] ?? Buffer.of())
  if (isSameRoot && notAfterMs <= current.notAfterMs) {
    throw refused('it does not expire later: the authority is about to expire')
  }
  return verdict.identity
}

function refused(why: string): WarrenError {
  return new WarrenError(ErrorCode.CertificateRefused, `the certificate received: ${why}`)
}
