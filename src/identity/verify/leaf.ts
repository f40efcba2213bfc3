import { X509Certificate } from 'node:crypto'
import { type Address, addressOfSpiffeId, agentSpiffeId, isComponent } from '../address.ts'
import { MAX_CERTIFICATE_BYTES, type ParsedCertificate } from '../certificate/parse.ts'
import { revocationOfAddress, revocationText } from '../revocation.ts'
import type { TrustState } from '../trust-bundle.ts'
import { checkCommon, checkLeaf, onlyUri, read } from './checks.ts'
import { checkStillValid, type NodeIdentity } from './node.ts'
import { Refusal, type Verdict, verdictOf } from './verdict.ts'

/** The facts that a certificate proves about a workload. */
export interface WorkloadIdentity {
  readonly spiffeId: string
  readonly address: Address
  readonly machine: string
  readonly notAfterMs: number
  readonly serial: string
}

/**
 * Verifies a workload's certificate against the host that must have signed it.
 *
 * X.509 name constraints cannot express that a host signs only for itself, so this function checks it: the last segment of the
 * SPIFFE ID must be the signer's machine, and the scope one of the signer's. It also checks again that the signer is valid at
 * `nowMs`, and that neither the signer nor the address is revoked.
 */
export function verifyWorkload(
  leaf: Uint8Array,
  signer: NodeIdentity,
  trust: TrustState,
  nowMs: number
): Verdict<WorkloadIdentity> {
  return verdictOf(() => {
    const { certificate, uri } = verifyLeaf(leaf, signer, trust, nowMs)
    const address = addressOfSpiffeId(trust.trustDomain, uri)
    if (address === undefined)
      throw new Refusal('names', `${uri.slice(0, 400)} is not a workload of ${trust.trustDomain}`)
    if (address.machine !== signer.machine) {
      throw new Refusal('wrong-machine', `${signer.machine} signed for a workload of ${address.machine}`)
    }
    if (signer.scopes.length > 0 && !signer.scopes.includes(address.scope)) {
      throw new Refusal('scope', `${signer.machine} may not run workloads of scope ${address.scope}`)
    }
    const revocation = revocationOfAddress(trust.revocations, address)
    if (revocation !== undefined) throw new Refusal('revoked', revocationText(address, revocation))
    return Object.freeze({
      spiffeId: uri,
      address,
      machine: address.machine,
      notAfterMs: Math.min(certificate.notAfterMs, signer.notAfterMs),
      serial: certificate.serial
    })
  })
}

/** Verifies the certificate of an agent. */
export function verifyAgent(
  leaf: Uint8Array,
  signer: NodeIdentity,
  trust: TrustState,
  nowMs: number
): Verdict<{ readonly machine: string }> {
  return verdictOf(() => {
    const { uri } = verifyLeaf(leaf, signer, trust, nowMs)
    if (uri !== agentSpiffeId(trust.trustDomain, signer.machine)) {
      throw new Refusal('wrong-machine', `the certificate is not that of the agent of ${signer.machine}`)
    }
    return Object.freeze({ machine: signer.machine })
  })
}

/**
 * The machine that a certificate claims, from the last segment of its SPIFFE ID, or the reason why it can claim none.
 *
 * Nothing in it is verified: use the machine only to find the key to verify with.
 */
export function claimedMachine(leaf: Uint8Array): Verdict<string> {
  const quick = onlyNativeUri(leaf)
  return verdictOf(() => {
    const uri = quick ?? onlyUri(read(leaf, 'the certificate'), 'the certificate')
    const machine = uri.slice(uri.lastIndexOf('/') + 1)
    if (!uri.startsWith('spiffe://') || !isComponent(machine)) {
      throw new Refusal('names', `${uri.slice(0, 400)} names no machine`)
    }
    return machine
  })
}

// The whole parser takes a millisecond or more, and the verifier that follows runs it anyway.
function onlyNativeUri(leaf: Uint8Array): string | undefined {
  try {
    if (leaf.length > MAX_CERTIFICATE_BYTES) return undefined
    return /^URI:([^,"]+)$/.exec(new X509Certificate(leaf).subjectAltName ?? '')?.[1]
  } catch {
    return undefined
  }
}

function verifyLeaf(
  leaf: Uint8Array,
  signer: NodeIdentity,
  trust: TrustState,
  nowMs: number
): { certificate: ParsedCertificate; uri: string } {
  checkStillValid(signer, trust, nowMs)
  const certificate = read(leaf, 'the certificate')
  if (!certificate.isSignedBy(signer.nodeCertificate)) {
    throw new Refusal('bad-signature', `not signed by the CA of ${signer.machine}`)
  }
  checkCommon(certificate, 'the certificate', nowMs)
  checkLeaf(certificate, 'the certificate')
  return { certificate, uri: onlyUri(certificate, 'the certificate') }
}
