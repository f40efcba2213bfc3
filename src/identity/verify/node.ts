import { decode, identityPb } from '../../wire/index.ts'
import { isComponent, RESERVED_SCOPE } from '../address.ts'
import { spkiSha256 } from '../certificate/binding.ts'
import type { ParsedCertificate } from '../certificate/parse.ts'
import { CONTEXT, verifySignature } from '../keys.ts'
import { type PeerKey, peerKeyOf } from '../peer-key.ts'
import { evictionText, revocationOfHost } from '../revocation.ts'
import type { TrustState } from '../trust-bundle.ts'
import { checkAuthority, checkCommon, checkDates, onlyUri, read } from './checks.ts'
import { Refusal, type Verdict, verdictOf } from './verdict.ts'

/** The facts that a chain proves about a host. */
export interface NodeIdentity {
  readonly machine: string
  readonly peer: PeerKey
  /** Raw Ed25519 key (32 bytes). */
  readonly peerPublicKey: Uint8Array
  /** Scopes whose workloads it may run; empty: all but the reserved one. */
  readonly scopes: readonly string[]
  /** It leaves the mesh when it ends, and its name is free then. */
  readonly ephemeral: boolean
  /** Hex, of the node CA certificate. */
  readonly certificateSha256: string
  /** DER: node CA, authority, root. */
  readonly chainDer: readonly Uint8Array[]
  readonly nodeCertificate: ParsedCertificate
  /** The earliest expiry in the chain. */
  readonly notAfterMs: number
}

/** Limits of a binding. */
export const MAX_BINDING_BYTES = 8 * 1024
export const MAX_SCOPES = 64

/**
 * Verifies a host's certificate chain: node CA, authority, root, in this order.
 *
 * The chain is valid only if the root is one of the trust domain's, each certificate is signed by the next, in date, and
 * such as its place demands, the binding in the node CA is for this very key, machine and trust domain and signed by the libp2p
 * key that it names, and nothing in it is revoked. `nowMs` is wall time.
 */
export function verifyNodeChain(
  chainDer: readonly Uint8Array[],
  trust: TrustState,
  nowMs: number
): Verdict<NodeIdentity> {
  return verdictOf(() => {
    if (chainDer.length !== 3)
      throw new Refusal('wrong-chain-length', `the chain has ${chainDer.length} certificates, not 3`)
    const [node, authority, root] = chainDer.map(der => read(der, 'a certificate of the chain'))
    if (node === undefined || authority === undefined || root === undefined) throw new Refusal('malformed', 'no chain')
    checkRoot(root, trust, nowMs)
    checkCa(authority, root, 'the authority', 1, trust, nowMs)
    checkCa(node, authority, 'the node CA', 0, trust, nowMs)
    const identity = Object.freeze({
      ...bindingOf(node, trust),
      certificateSha256: node.sha256,
      chainDer: Object.freeze([node.der, authority.der, root.der]),
      nodeCertificate: node,
      notAfterMs: Math.min(node.notAfterMs, authority.notAfterMs, root.notAfterMs)
    })
    const chain = [node, authority, root]
    const keys = chain.map(certificate => Buffer.from(spkiSha256(certificate.publicKey)).toString('hex'))
    verified.set(identity, { trustDomain: trust.trustDomain, chain, keys })
    // Checked last: only a chain that is otherwise valid proves that the revoked host is the one that shows it.
    checkRevocations(identity, keys, trust)
    return identity
  })
}

/**
 * Verifies a chain like `verifyNodeChain`, but accepts a node CA or an authority that expired less than `graceMs` ago. Use it
 * for renewals only; nothing else admits such a host.
 */
export function verifyRenewable(
  chainDer: readonly Uint8Array[],
  trust: TrustState,
  nowMs: number,
  graceMs: number
): Verdict<NodeIdentity> {
  return verdictOf(() => {
    const [node, authority, root] = chainDer.map(der => read(der, 'a certificate of the chain'))
    if (node === undefined || authority === undefined || root === undefined) {
      throw new Refusal('wrong-chain-length', `the chain has ${chainDer.length} certificates, not 3`)
    }
    const endMs = Math.min(node.notAfterMs, authority.notAfterMs)
    if (nowMs - endMs >= graceMs) {
      throw new Refusal('expired', `it ended at ${new Date(endMs).toISOString()}, and the grace period has passed`)
    }
    // The root has no grace period: without a valid root, nothing below it is valid.
    checkRoot(root, trust, nowMs)
    const verdict = verifyNodeChain(chainDer, trust, Math.min(nowMs, endMs - 1))
    if (!verdict.ok) throw new Refusal(verdict.reason, verdict.detail, verdict.peer)
    return verdict.identity
  })
}

// The verified facts that cannot change: signatures, forms, the binding. The facts that can change are checked again below.
const verified = new WeakMap<
  NodeIdentity,
  { trustDomain: string; chain: readonly ParsedCertificate[]; keys: readonly string[] }
>()

/** Verifies a host again without its signatures, which cannot change: fast enough for thousands of hosts. */
export function verifyStillValid(node: NodeIdentity, trust: TrustState, nowMs: number): Verdict<NodeIdentity> {
  return verdictOf(() => {
    checkStillValid(node, trust, nowMs)
    return node
  })
}

/**
 * Throws a Refusal unless a host that was verified before is still valid: its root trusted, its certificates in date, nothing
 * in it revoked.
 *
 * An identity that `verifyNodeChain` did not make is always refused.
 */
export function checkStillValid(node: NodeIdentity, trust: TrustState, nowMs: number): void {
  const known = verified.get(node)
  const root = known?.chain.at(-1)
  if (known === undefined || root === undefined || known.trustDomain !== trust.trustDomain) {
    throw new Refusal('unknown-signer', 'the signer was not verified in this trust domain')
  }
  checkRoot(root, trust, nowMs)
  for (const certificate of known.chain) checkDates(certificate, 'a certificate of the signer', nowMs)
  checkRevocations(node, known.keys, trust)
}

function checkRevocations(node: NodeIdentity, keys: readonly string[], { revocations }: TrustState): void {
  const { machine, peer, nodeCertificate } = node
  const { notBeforeMs } = nodeCertificate
  const revocation = revocationOfHost(revocations, { machine, peer, keys, notBeforeMs })
  if (revocation !== undefined) throw new Refusal('revoked', evictionText(machine, revocation), peer)
}

/** Throws a Refusal unless it is one of the trusted roots, in date. */
export function checkRoot(root: ParsedCertificate, trust: TrustState, nowMs: number): void {
  const known = trust.roots.find(candidate => candidate.sha256 === root.sha256)
  if (known === undefined) throw new Refusal('wrong-root', 'the chain ends in a root of another trust domain')
  checkCommon(known, 'the root', nowMs)
  checkAuthority(known, 'the root', undefined)
}

/** Throws a Refusal unless `issuer` signed it and it is a CA of this trust domain with this path length, in date. */
export function checkCa(
  certificate: ParsedCertificate,
  issuer: ParsedCertificate,
  what: string,
  pathLength: number,
  trust: TrustState,
  nowMs: number
): void {
  if (!certificate.isSignedBy(issuer))
    throw new Refusal('bad-signature', `${what} is not signed by the next certificate of the chain`)
  checkCommon(certificate, what, nowMs)
  checkAuthority(certificate, what, pathLength)
  if (onlyUri(certificate, what) !== `spiffe://${trust.trustDomain}`) {
    throw new Refusal('trust-domain', `${what} does not belong to trust domain ${trust.trustDomain}`)
  }
}

function bindingOf(
  node: ParsedCertificate,
  trust: TrustState
): Pick<NodeIdentity, 'machine' | 'peer' | 'peerPublicKey' | 'scopes' | 'ephemeral'> {
  if (node.binding === undefined) throw new Refusal('no-binding', 'the node CA binds no host')
  const signed = decode(identityPb.SignedNodeBindingSchema, node.binding, MAX_BINDING_BYTES)
  const binding = openBinding(signed, trust.trustDomain)
  if (!spkiSha256(node.publicKey).every((byte, at) => binding.nodeKeySha256[at] === byte)) {
    throw new Refusal('bad-binding', 'the binding is for another CA key')
  }
  return binding
}

/**
 * Reads a binding and checks that its peer key signed it for this trust domain. Throws a Refusal.
 *
 * The caller must check that it belongs to a certain CA key.
 */
export function openBinding(
  signed: identityPb.SignedNodeBinding,
  trustDomain: string
): Pick<NodeIdentity, 'machine' | 'peer' | 'peerPublicKey' | 'scopes' | 'ephemeral'> & {
  readonly nodeKeySha256: Uint8Array
} {
  const binding = decode(identityPb.NodeBindingSchema, signed.binding, MAX_BINDING_BYTES)
  const { machine, peerPublicKey, scopes, ephemeral, nodeKeySha256 } = binding
  if (!verifySignature(peerPublicKey, CONTEXT.nodeBinding, signed.binding, signed.signature)) {
    throw new Refusal('bad-binding', 'the binding is not signed by the peer key that it names')
  }
  if (binding.trustDomain !== trustDomain) {
    throw new Refusal('trust-domain', `the binding does not belong to trust domain ${trustDomain}`)
  }
  if (!isComponent(machine)) throw new Refusal('bad-binding', 'the binding names no machine')
  if (nodeKeySha256.length !== 32) throw new Refusal('bad-binding', 'the binding names no CA key')
  if (scopes.length > MAX_SCOPES || !scopes.every(isComponent) || scopes.includes(RESERVED_SCOPE)) {
    throw new Refusal('scope', 'the binding has a scope that cannot be given')
  }
  return {
    machine,
    peer: peerKeyOf(peerPublicKey),
    peerPublicKey: Uint8Array.from(peerPublicKey),
    // Frozen, so that no user of a verified identity can widen its scopes.
    scopes: Object.freeze([...scopes]),
    ephemeral,
    nodeKeySha256
  }
}
