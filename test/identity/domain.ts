import 'reflect-metadata'
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  type Issuer,
  issueAuthority,
  issueNode,
  issueRoot,
  issueWorkload,
  type NodeIdentity,
  openTrustBundle,
  rawPublicKey,
  signBinding,
  signTrustBundle,
  spkiSha256,
  type TrustState,
  verifyNodeChain
} from '../../src/identity/index.ts'

export const NOW_MS = Date.UTC(2026, 5, 1)
export const TRUST_DOMAIN = 'example.org'
export const DAY_MS = 86_400_000

export interface Host {
  readonly machine: string
  readonly peerKey: KeyObject
  readonly nodeKey: KeyObject
  readonly issuer: Issuer
  /** DER: node CA, authority, root. */
  readonly chain: readonly Uint8Array[]
}

/** A trust domain with an authority, as `warren up --init` makes it. */
export class Domain {
  readonly rootKey: KeyObject
  readonly authorityKey: KeyObject
  readonly root: Uint8Array
  readonly authority: Issuer
  readonly bundle: Uint8Array
  readonly trust: TrustState
  readonly adminKey: KeyObject

  private constructor(rootKey: KeyObject, authorityKey: KeyObject, root: Uint8Array, authority: Uint8Array) {
    this.rootKey = rootKey
    this.authorityKey = authorityKey
    this.root = root
    this.authority = { certificate: authority, key: authorityKey }
    this.adminKey = generatePeerKeyPair()
    const adminPublicKey = rawPublicKey(this.adminKey)
    const content = { trustDomain: TRUST_DOMAIN, version: 1n, roots: [root], adminPublicKey, nowMs: NOW_MS }
    this.bundle = signTrustBundle(content, [{ certificate: root, key: rootKey }])
    this.trust = openTrustBundle(this.bundle, this.rootSha256)
  }

  static async create(): Promise<Domain> {
    const rootKey = generateSigningKeyPair()
    const authorityKey = generateSigningKeyPair()
    const root = await issueRoot({ trustDomain: TRUST_DOMAIN, key: rootKey, nowMs: NOW_MS })
    const authority = await issueAuthority({
      trustDomain: TRUST_DOMAIN,
      root: { certificate: root, key: rootKey },
      publicKey: createPublicKey(authorityKey),
      nowMs: NOW_MS
    })
    return new Domain(rootKey, authorityKey, root, authority)
  }

  get rootSha256(): string {
    return createHash('sha256').update(this.root).digest('hex')
  }

  get rootIssuer(): Issuer {
    return { certificate: this.root, key: this.rootKey }
  }

  async host(machine: string, scopes: readonly string[] = []): Promise<Host> {
    const peerKey = generatePeerKeyPair()
    const nodeKey = generateSigningKeyPair()
    const publicKey = createPublicKey(nodeKey)
    const binding = signBinding(
      { trustDomain: TRUST_DOMAIN, machine, scopes, nodeKeySha256: spkiSha256(publicKey) },
      peerKey
    )
    const { authority } = this
    const options = { trustDomain: TRUST_DOMAIN, machine, authority, publicKey, binding, nowMs: NOW_MS }
    const certificate = await issueNode(options)
    const chain = [certificate, authority.certificate, this.root]
    return { machine, peerKey, nodeKey, issuer: { certificate, key: nodeKey }, chain }
  }

  admitted(host: Host): NodeIdentity {
    const verdict = verifyNodeChain(host.chain, this.trust, NOW_MS)
    if (!verdict.ok) throw new Error(`${host.machine}: ${verdict.reason}: ${verdict.detail}`)
    return verdict.identity
  }
}

/** A workload certificate as `host` makes it. */
export async function leafOf(host: Host, spiffeId: string, nowMs = NOW_MS): Promise<Uint8Array> {
  const publicKey = createPublicKey(generateSigningKeyPair())
  return await issueWorkload({ node: host.issuer, spiffeId, publicKey, nowMs })
}

export interface Forgery {
  readonly issuer: Issuer
  readonly extensions: x509.Extension[]
  readonly publicKey?: CryptoKey | undefined
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

/** Any certificate at all, signed by `issuer`: what a hostile host can make. */
export async function forge({ issuer, extensions, publicKey, notBeforeMs, notAfterMs }: Forgery): Promise<Uint8Array> {
  const p256 = { name: 'ECDSA', namedCurve: 'P-256' }
  const own = createPublicKey(generateSigningKeyPair()).toCryptoKey(p256, true, ['verify'])
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '4f'.repeat(16),
    subject: 'O=warren',
    issuer: new x509.X509Certificate(Uint8Array.from(issuer.certificate)).subjectName,
    notBefore: new Date(notBeforeMs ?? NOW_MS - 60_000),
    notAfter: new Date(notAfterMs ?? NOW_MS + 3_600_000),
    publicKey: publicKey ?? own,
    signingKey: issuer.key.toCryptoKey(p256, true, ['sign']),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions
  })
  return new Uint8Array(certificate.rawData)
}

export const ext = {
  names: (...uris: string[]) => new x509.SubjectAlternativeNameExtension(uris.map(value => ({ type: 'url', value }))),
  basic: (ca: boolean, pathLength?: number) => new x509.BasicConstraintsExtension(ca, pathLength, true),
  usage: (usages: number) => new x509.KeyUsagesExtension(usages, true),
  tls: (...usages: string[]) =>
    new x509.ExtendedKeyUsageExtension(
      usages.length === 0 ? [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth] : usages
    )
}
export const USAGE = x509.KeyUsageFlags
