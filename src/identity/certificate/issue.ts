import 'reflect-metadata'
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { identityPb } from '../../wire/index.ts'
import { agentSpiffeId } from '../address.ts'
import { bindingToExtension, NODE_BINDING_OID } from './binding.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Default lifetime of each kind of certificate: see section 3 of the design. */
export const LIFETIME_MS = Object.freeze({
  root: 10 * 365 * DAY_MS,
  authority: 90 * DAY_MS,
  node: 30 * DAY_MS,
  workload: HOUR_MS,
  agent: 24 * HOUR_MS
})

/** Certificates are valid from a little before they are made, for hosts whose clock is behind. */
export const BACKDATED_MS = 60_000

const P256 = Object.freeze({ name: 'ECDSA', namedCurve: 'P-256' })
const SIGNING = Object.freeze({ name: 'ECDSA', hash: 'SHA-256' })

/** A CA with which certificates are signed: its certificate (DER) and its private key. */
export interface Issuer {
  readonly certificate: Uint8Array
  readonly key: KeyObject
}

interface Dates {
  readonly nowMs: number
  readonly lifetimeMs?: number
}

/** A self-signed root for a new trust domain. DER. */
export async function issueRoot(options: Dates & { trustDomain: string; key: KeyObject }): Promise<Uint8Array> {
  const { trustDomain, key } = options
  return await issue({
    ...options,
    subject: `CN=warren root, O=${trustDomain}`,
    publicKey: createPublicKey(key),
    issuer: undefined,
    signingKey: key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.root,
    extensions: caExtensions(trustDomain, undefined)
  })
}

/** An admission authority below the root. DER. */
export async function issueAuthority(
  options: Dates & { trustDomain: string; root: Issuer; publicKey: KeyObject }
): Promise<Uint8Array> {
  const { trustDomain, root, publicKey } = options
  return await issue({
    ...options,
    subject: `CN=warren authority, O=${trustDomain}`,
    publicKey,
    issuer: root.certificate,
    signingKey: root.key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.authority,
    extensions: caExtensions(trustDomain, 1)
  })
}

/** The CA of one host, below an authority, with the host's binding in it. DER. */
export async function issueNode(
  options: Dates & {
    trustDomain: string
    machine: string
    authority: Issuer
    publicKey: KeyObject
    binding: identityPb.SignedNodeBinding
    /** The certificate is not valid before this time, wall milliseconds. */
    notEarlierMs?: number
  }
): Promise<Uint8Array> {
  const { trustDomain, machine, authority, publicKey, binding } = options
  return await issue({
    ...options,
    subject: `CN=${machine}, O=${trustDomain}`,
    publicKey,
    issuer: authority.certificate,
    signingKey: authority.key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.node,
    extensions: [
      ...caExtensions(trustDomain, 0),
      new x509.Extension(NODE_BINDING_OID, false, bindingToExtension(binding))
    ]
  })
}

/** The X.509-SVID of a workload, signed by the CA of its host; never expires after that CA. DER. */
export async function issueWorkload(
  options: Dates & {
    node: Issuer
    spiffeId: string
    /** Further names, for clients that know a server by its name. */
    dnsNames?: readonly string[] | undefined
    publicKey: KeyObject
  }
): Promise<Uint8Array> {
  const { node, spiffeId, dnsNames = [], publicKey } = options
  return await issue({
    ...options,
    subject: subjectOf(spiffeId),
    publicKey,
    issuer: node.certificate,
    signingKey: node.key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.workload,
    extensions: leafExtensions(spiffeId, dnsNames)
  })
}

/** The certificate of an agent, signed by its own CA. DER. */
export async function issueAgent(
  options: Dates & { node: Issuer; trustDomain: string; machine: string; publicKey: KeyObject }
): Promise<Uint8Array> {
  return await issueWorkload({
    ...options,
    spiffeId: agentSpiffeId(options.trustDomain, options.machine),
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.agent
  })
}

interface Template {
  readonly subject: string
  readonly publicKey: KeyObject
  /** DER; undefined for a self-signed certificate. */
  readonly issuer: Uint8Array | undefined
  readonly signingKey: KeyObject
  readonly nowMs: number
  readonly notEarlierMs?: number
  readonly lifetimeMs: number
  readonly extensions: x509.Extension[]
}

async function issue(template: Template): Promise<Uint8Array> {
  const { subject, signingKey, nowMs, lifetimeMs, extensions } = template
  const publicKey = template.publicKey.toCryptoKey(P256, true, ['verify'])
  const issuer = template.issuer === undefined ? undefined : await readIssuer(template.issuer)
  const notAfterMs = Math.min(nowMs + lifetimeMs, issuer?.notAfterMs ?? Number.POSITIVE_INFINITY)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject,
    issuer: issuer?.subject ?? subject,
    notBefore: new Date(Math.max(nowMs - BACKDATED_MS, template.notEarlierMs ?? 0)),
    notAfter: new Date(notAfterMs),
    publicKey,
    signingKey: signingKey.toCryptoKey(P256, true, ['sign']),
    signingAlgorithm: SIGNING,
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      issuer?.keyId ?? (await x509.AuthorityKeyIdentifierExtension.create(publicKey))
    ]
  })
  return new Uint8Array(certificate.rawData)
}

interface IssuerFacts {
  readonly subject: x509.Name
  readonly notAfterMs: number
  readonly keyId: x509.Extension
}

// A host signs thousands of certificates with one CA, and reading that took a third of the time of each.
const ISSUERS = new WeakMap<Uint8Array, IssuerFacts>()

async function readIssuer(der: Uint8Array): Promise<IssuerFacts> {
  const known = ISSUERS.get(der)
  if (known !== undefined) return known
  const { subjectName, notAfter, publicKey } = new x509.X509Certificate(der)
  const keyId = await x509.AuthorityKeyIdentifierExtension.create(await publicKey.export())
  const facts = { subject: subjectName, notAfterMs: notAfter.getTime(), keyId }
  ISSUERS.set(der, facts)
  return facts
}

// The SPIFFE ID of a CA is that of its trust domain, without a path:
// https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#32-signing-certificates
function caExtensions(trustDomain: string, pathLength: number | undefined): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }])
  ]
}

// RFC 5280, appendix A.1: beyond it some programs refuse the certificate.
const MAX_COMMON_NAME_LENGTH = 64

// The identity of SPIFFE is in the URI; this is for programs that show or map a subject. With slashes, since some take a common name
// with dots for the name of a host. An empty subject would make the name extension critical.
function subjectOf(spiffeId: string): string {
  const path = spiffeId.split('/').slice(3).join('/')
  return path.length <= MAX_COMMON_NAME_LENGTH ? `CN=${path}, O=warren` : 'O=warren'
}

function leafExtensions(spiffeId: string, dnsNames: readonly string[]): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    new x509.SubjectAlternativeNameExtension([
      { type: 'url', value: spiffeId },
      ...dnsNames.map(value => ({ type: 'dns' as const, value }))
    ])
  ]
}

// 16 random bytes: the top bit is cleared, since a serial number is a positive integer; the next bit is set, so that the number
// has no leading zero byte.
function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0)
  return bytes.toString('hex')
}
