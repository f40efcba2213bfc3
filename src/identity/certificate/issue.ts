import { createHash, createPublicKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import type { identityPb } from '../../wire/index.ts'
import { agentSpiffeId } from '../address.ts'
import { childrenOf, spkiOfCertificate, subjectOfCertificate } from '../der.ts'
import { bitString, boolean, integer, octetString, oid, sequence, tagged, time } from '../der-writer.ts'
import { distinguishedName, ECDSA_SHA256, signed } from '../signed.ts'
import { bindingToExtension, NODE_BINDING_OID } from './binding.ts'
import { KeyUsage, Oid } from './extensions.ts'

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

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
/** As the field has it. */
const VERSION_3 = 2
/** Of a GeneralName: a URI. */
const URI = 6

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
    subject: distinguishedName({ CN: 'warren root', O: trustDomain }),
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
    subject: distinguishedName({ CN: 'warren authority', O: trustDomain }),
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
    subject: distinguishedName({ CN: machine, O: trustDomain }),
    publicKey,
    issuer: authority.certificate,
    signingKey: authority.key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.node,
    extensions: [...caExtensions(trustDomain, 0), extension(NODE_BINDING_OID, bindingToExtension(binding))]
  })
}

/** The X.509-SVID of a workload, signed by the CA of its host; never expires after that CA. DER. */
export async function issueWorkload(
  options: Dates & { node: Issuer; spiffeId: string; publicKey: KeyObject }
): Promise<Uint8Array> {
  const { node, spiffeId, publicKey } = options
  return await issue({
    ...options,
    // SPIFFE wants the identity only in the URI; with an empty subject the name extension would have to be critical.
    subject: distinguishedName({ O: 'warren' }),
    publicKey,
    issuer: node.certificate,
    signingKey: node.key,
    lifetimeMs: options.lifetimeMs ?? LIFETIME_MS.workload,
    extensions: leafExtensions(spiffeId)
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
  /** Encoded. */
  readonly subject: Uint8Array
  readonly publicKey: KeyObject
  /** DER; undefined for a self-signed certificate. */
  readonly issuer: Uint8Array | undefined
  readonly signingKey: KeyObject
  readonly nowMs: number
  readonly notEarlierMs?: number
  readonly lifetimeMs: number
  readonly extensions: readonly Uint8Array[]
}

// RFC 5280, section 4.1.
async function issue(template: Template): Promise<Uint8Array> {
  const { subject, signingKey, nowMs, lifetimeMs, extensions } = template
  const spki = template.publicKey.export({ format: 'der', type: 'spki' })
  const keyId = keyIdOf(spki)
  const issuer = template.issuer === undefined ? undefined : readIssuer(template.issuer)
  const notAfterMs = Math.min(nowMs + lifetimeMs, issuer?.notAfterMs ?? Number.POSITIVE_INFINITY)
  const content = sequence(
    tagged(0, integer(VERSION_3)),
    integer(randomSerial()),
    ECDSA_SHA256,
    issuer?.subject ?? subject,
    sequence(time(Math.max(nowMs - BACKDATED_MS, template.notEarlierMs ?? 0)), time(notAfterMs)),
    subject,
    spki,
    tagged(
      3,
      sequence(
        ...extensions,
        extension(Oid.subjectKeyId, octetString(keyId)),
        extension(Oid.authorityKeyId, sequence(tagged(0, issuer?.keyId ?? keyId, true)))
      )
    )
  )
  return await signed(content, signingKey)
}

interface IssuerFacts {
  /** Encoded. */
  readonly subject: Uint8Array
  readonly notAfterMs: number
  readonly keyId: Uint8Array
}

// A host signs thousands of certificates with one CA.
const ISSUERS = new WeakMap<Uint8Array, IssuerFacts>()

function readIssuer(der: Uint8Array): IssuerFacts {
  const known = ISSUERS.get(der)
  if (known !== undefined) return known
  const facts = {
    subject: Uint8Array.from(subjectOfCertificate(der)),
    notAfterMs: new X509Certificate(der).validToDate.getTime(),
    keyId: keyIdOf(spkiOfCertificate(der))
  }
  ISSUERS.set(der, facts)
  return facts
}

// The SPIFFE ID of a CA is that of its trust domain, without a path:
// https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#32-signing-certificates
function caExtensions(trustDomain: string, pathLength: number | undefined): Uint8Array[] {
  const constraints = [boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])]
  return [
    extension(Oid.basicConstraints, sequence(...constraints), true),
    extension(Oid.keyUsage, usage(KeyUsage.keyCertSign | KeyUsage.crlSign), true),
    extension(Oid.alternativeName, uri(`spiffe://${trustDomain}`))
  ]
}

function leafExtensions(spiffeId: string): Uint8Array[] {
  return [
    extension(Oid.basicConstraints, sequence(), true),
    extension(Oid.keyUsage, usage(KeyUsage.digitalSignature), true),
    extension(Oid.extendedKeyUsage, sequence(oid(SERVER_AUTH), oid(CLIENT_AUTH))),
    extension(Oid.alternativeName, uri(spiffeId))
  ]
}

function extension(type: string, value: Uint8Array, critical = false): Uint8Array {
  // What is not critical does not say so.
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value))
}

function uri(value: string): Uint8Array {
  return sequence(tagged(URI, Buffer.from(value, 'latin1'), true))
}

// In a BIT STRING the lowest bit of ours comes first, and zeros at the end are left out.
function usage(bits: number): Uint8Array {
  const places = [0, 1, 2, 3, 4, 5, 6, 7].filter(place => (bits & (1 << place)) !== 0)
  const byte = places.reduce((sum, place) => sum | (0x80 >> place), 0)
  return bitString(Buffer.from([byte]), 7 - Math.max(...places))
}

// RFC 5280, section 4.2.1.2, method 1: the bits of the key, without what says how many of them there are.
function keyIdOf(spki: Uint8Array): Uint8Array {
  const [outer] = childrenOf(spki)
  const [, key] = childrenOf(outer?.content ?? spki)
  return createHash('sha1')
    .update(key?.content.subarray(1) ?? spki)
    .digest()
}

// 16 random bytes: the top bit is cleared, since a serial number is a positive integer; the next bit is set, so that the number
// has no leading zero byte.
function randomSerial(): Uint8Array {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0)
  return bytes
}
