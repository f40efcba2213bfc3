import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueAgent,
  issueAuthority,
  issueNode,
  issueRoot,
  issueWorkload,
  type NodeIdentity,
  type PeerKey,
  parseCertificate,
  peerKeyOf,
  rawPublicKey,
  signBinding,
  spkiSha256,
  type TrustState,
  toPem,
  verifyNodeChain,
  verifyWorkload
} from '../../../src/identity/index.ts'
import type { TlsCredentials, WorkloadVerdict } from '../../../src/proxy/index.ts'

export const TRUST_DOMAIN = 'test.example'

/** A host's CA with all that it can sign. */
export interface TestNode {
  readonly machine: string
  readonly peer: PeerKey
  readonly issuer: Issuer
  readonly identity: NodeIdentity
  readonly issuersPem: string
}

/** A trust domain with real certificates, verified by the real verify. */
export class TestPki {
  readonly rootPem: string
  readonly trust: TrustState
  readonly #root: Issuer
  readonly #authority: Issuer
  readonly #nodes = new Map<string, NodeIdentity>()

  private constructor(root: Issuer, authority: Issuer) {
    this.#root = root
    this.#authority = authority
    this.rootPem = toPem(root.certificate)
    const adminPublicKey = randomBytes(32)
    const roots = [parseCertificate(root.certificate)]
    this.trust = { trustDomain: TRUST_DOMAIN, version: 1n, roots, adminPublicKey, revocations: [] }
  }

  static async create(): Promise<TestPki> {
    const nowMs = Date.now()
    const key = generateSigningKeyPair()
    const root = { key, certificate: await issueRoot({ trustDomain: TRUST_DOMAIN, key, nowMs }) }
    const authorityKey = generateSigningKeyPair()
    const publicKey = createPublicKey(authorityKey)
    const certificate = await issueAuthority({ trustDomain: TRUST_DOMAIN, root, publicKey, nowMs })
    return new TestPki(root, { key: authorityKey, certificate })
  }

  async node(machine: string): Promise<TestNode> {
    const key = generateSigningKeyPair()
    const peerKey = generatePeerKeyPair()
    const publicKey = createPublicKey(key)
    const nodeKeySha256 = spkiSha256(publicKey)
    const binding = signBinding({ trustDomain: TRUST_DOMAIN, machine, nodeKeySha256, scopes: [] }, peerKey)
    const options = { trustDomain: TRUST_DOMAIN, machine, authority: this.#authority, publicKey, binding }
    const certificate = await issueNode({ ...options, nowMs: Date.now() })
    const chain = [certificate, this.#authority.certificate, this.#root.certificate]
    const verdict = verifyNodeChain(chain, this.trust, Date.now())
    if (!verdict.ok) throw new Error(verdict.detail)
    this.#nodes.set(machine, verdict.identity)
    return {
      machine,
      peer: peerKeyOf(rawPublicKey(peerKey)),
      issuer: { key, certificate },
      identity: verdict.identity,
      issuersPem: [certificate, this.#authority.certificate].map(toPem).join('')
    }
  }

  /** What the proxy's `verify` is in these tests; `revoked` machines have no identity. */
  verifier(leaf: Uint8Array, revoked: ReadonlySet<string>, nowMs = Date.now()): WorkloadVerdict {
    const uri = parseCertificate(leaf).names.find(name => name.type === 'url')?.value ?? ''
    const machine = uri.split('/').at(-1) ?? ''
    const signer = revoked.has(machine) ? undefined : this.#nodes.get(machine)
    if (signer === undefined) return { ok: false, reason: 'unknown', detail: `${machine} is no member` }
    return verifyWorkload(leaf, signer, this.trust, nowMs)
  }
}

/** An SVID for `spiffeId` signed by `node`, whether that may or not. */
export async function svidOf(
  node: TestNode,
  spiffeId: string,
  dates: { nowMs?: number; lifetimeMs?: number } = {}
): Promise<TlsCredentials> {
  const key = generateSigningKeyPair()
  const publicKey = createPublicKey(key)
  const leaf = await issueWorkload({ node: node.issuer, spiffeId, publicKey, nowMs: Date.now(), ...dates })
  return { certPem: toPem(leaf) + node.issuersPem, key }
}

export async function agentCredentials(node: TestNode): Promise<TlsCredentials> {
  const key = generateSigningKeyPair()
  const publicKey = createPublicKey(key)
  const options = { node: node.issuer, trustDomain: TRUST_DOMAIN, machine: node.machine, publicKey, nowMs: Date.now() }
  return { certPem: toPem(await issueAgent(options)) + node.issuersPem, key }
}

export type { KeyObject }
