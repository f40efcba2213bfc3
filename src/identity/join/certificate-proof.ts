import { constants, createHash, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { identityPb } from '../../wire/index.ts'
import { KeyUsage } from '../certificate/extensions.ts'
import { type ParsedCertificate, parseCertificate } from '../certificate/parse.ts'
import { CONTEXT } from '../keys.ts'
import type { JoinChannel } from './serve.ts'

/** A CA that an authority trusts for joins. */
export interface CertificateAnchor {
  readonly id: string
  /** DER. */
  readonly certificate: Uint8Array
}

/** A certificate whose holder has proved its key, below a trusted CA. */
export interface HostCertificate {
  /** The id of the CA. */
  readonly anchor: string
  readonly sha256: string
  readonly notBeforeMs: number
  /** The earliest end in its chain. */
  readonly notAfterMs: number
  readonly names: { readonly cn: readonly string[]; readonly dns: readonly string[]; readonly uri: readonly string[] }
}

/** The certificate of the host and its issuers, at most. */
const MAX_CHAIN = 5
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_USAGE = '2.5.29.37.0'
const MIN_RSA_BITS = 2_048
// The work of a signature check grows with the key.
const MAX_RSA_BITS = 8_192
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']

/** Proves the key of a certificate to the authority at the other end of this connection, for this binding. */
export function proveCertificate(
  { chain, key }: { readonly chain: readonly Uint8Array[]; readonly key: KeyObject },
  channel: JoinChannel,
  binding: Uint8Array
): { chain: Uint8Array<ArrayBuffer>[]; signature: Uint8Array<ArrayBuffer> } {
  const { algorithm, options } = schemeOf(key)
  const signature = sign(algorithm, statement(channel, binding), { key, ...options })
  return { chain: chain.map(der => Uint8Array.from(der)), signature: Uint8Array.from(signature) }
}

/**
 * Verifies that the other end of this connection has a certificate below one of the CAs, and its key. Throws CERTIFICATE_REFUSED.
 *
 * Every certificate must be in date, each issuer a CA within its path length whose key may sign certificates, and the first one a
 * certificate of no CA for signatures of a client. Extensions that are critical and unknown here refuse it.
 */
export function verifyHostCertificate(
  proof: identityPb.CertificateProof,
  anchors: readonly CertificateAnchor[],
  channel: JoinChannel,
  binding: Uint8Array,
  nowMs: number
): HostCertificate {
  if (proof.chain.length === 0 || proof.chain.length > MAX_CHAIN) {
    throw refused(`a chain has 1 to ${MAX_CHAIN} certificates, not ${proof.chain.length}`)
  }
  const chain = proof.chain.map(der => read(der))
  const [leaf, ...issuers] = chain
  if (leaf === undefined) throw refused('the chain is empty')
  const { anchor, ca } = anchorOf(chain, anchors)
  requireDates([...chain, ca], nowMs)
  requireLeaf(leaf)
  for (const [index, issuer] of [...issuers, ca].entries()) requireCa(issuer, index)
  const { algorithm, options } = schemeOf(leaf.publicKey)
  // Last: only the holder of a certificate that is otherwise valid costs a second signature check.
  if (!verify(algorithm, statement(channel, binding), { key: leaf.publicKey, ...options }, proof.signature)) {
    throw refused('the host does not prove the key of its certificate')
  }
  return {
    anchor: anchor.id,
    sha256: leaf.sha256,
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: Math.min(...chain.map(one => one.notAfterMs), ca.notAfterMs),
    names: namesOf(leaf)
  }
}

/** Reads a CA that is to be trusted for joins. Throws CERTIFICATE_REFUSED. */
export function readAnchor(der: Uint8Array): ParsedCertificate & { readonly subject: string } {
  const ca = read(der)
  requireCa(ca, 0)
  schemeOf(ca.publicKey)
  return { ...ca, subject: new X509Certificate(der).subject.replaceAll('\n', ', ') }
}

function anchorOf(
  chain: readonly ParsedCertificate[],
  anchors: readonly CertificateAnchor[]
): { anchor: CertificateAnchor; ca: ParsedCertificate } {
  for (const [index, certificate] of chain.entries()) {
    // Before the check of a signature: the work for a key is bounded.
    schemeOf(certificate.publicKey)
    const issuer = chain[index + 1]
    if (issuer !== undefined && !certificate.isSignedBy(issuer)) {
      throw refused('a certificate of the chain is not signed by the next one')
    }
  }
  const last = chain.at(-1)
  for (const anchor of anchors) {
    const ca = read(anchor.certificate)
    if (last?.isSignedBy(ca) === true) return { anchor, ca }
  }
  throw refused('its CA is not trusted for joins here')
}

function requireDates(all: readonly ParsedCertificate[], nowMs: number): void {
  for (const { notBeforeMs, notAfterMs } of all) {
    if (nowMs < notBeforeMs)
      throw refused(`a certificate of the chain begins at ${new Date(notBeforeMs).toISOString()}`)
    if (nowMs >= notAfterMs) throw refused(`a certificate of the chain ended at ${new Date(notAfterMs).toISOString()}`)
  }
}

function requireLeaf({ basicConstraints, keyUsage, extendedKeyUsage }: ParsedCertificate): void {
  if (basicConstraints?.ca === true) throw refused('the certificate of the host is that of a CA')
  if (keyUsage !== undefined && (keyUsage & KeyUsage.digitalSignature) === 0) throw refused('its key may not sign')
  if (extendedKeyUsage !== undefined && ![CLIENT_AUTH, ANY_USAGE].some(usage => extendedKeyUsage.includes(usage))) {
    throw refused('it is not for clients: its extended key usage lacks clientAuth')
  }
}

/** `below`: the number of CAs between it and the certificate of the host. */
function requireCa({ basicConstraints, keyUsage }: ParsedCertificate, below: number): void {
  if (basicConstraints?.ca !== true) throw refused('an issuer of the chain is no CA')
  const { pathLength } = basicConstraints
  if (pathLength !== undefined && below > pathLength) throw refused('the chain is longer than one of its CAs permits')
  if (keyUsage !== undefined && (keyUsage & KeyUsage.keyCertSign) === 0)
    throw refused('the key of a CA may not sign certificates')
}

function read(der: Uint8Array): ParsedCertificate {
  let certificate: ParsedCertificate
  try {
    certificate = parseCertificate(der)
  } catch (cause) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'a certificate of the chain cannot be read', { cause })
  }
  const { unknownCritical, repeatedExtension } = certificate
  if (unknownCritical.length > 0)
    throw refused(`it has a critical extension that is unknown here: ${unknownCritical[0]}`)
  if (repeatedExtension) throw refused('an extension occurs twice')
  return certificate
}

function namesOf({ der, names }: ParsedCertificate): HostCertificate['names'] {
  const of = (wanted: string): string[] => names.filter(({ type }) => type === wanted).map(({ value }) => value)
  // One value, or a list of them.
  const { CN: cn = [] } = new X509Certificate(der).toLegacyObject().subject as { readonly CN?: string | string[] }
  return { cn: [cn].flat(), dns: of('dns'), uri: of('url') }
}

function statement({ nonce, leaf }: JoinChannel, binding: Uint8Array): Buffer {
  const agent = createHash('sha256').update(leaf).digest()
  return Buffer.concat([Buffer.from(`${CONTEXT.joinCertificate}\0`), nonce, agent, binding])
}

interface Scheme {
  readonly algorithm: string | null
  readonly options: { readonly dsaEncoding?: 'ieee-p1363'; readonly padding?: number; readonly saltLength?: number }
}

function schemeOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): Scheme {
  if (type === 'ed25519') return { algorithm: null, options: {} }
  if (type === 'ec' && CURVES.includes(details?.namedCurve)) {
    return { algorithm: 'sha256', options: { dsaEncoding: 'ieee-p1363' } }
  }
  const bits = details?.modulusLength ?? 0
  if (type === 'rsa' && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) {
    return { algorithm: 'sha256', options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } }
  }
  throw refused('it has a key of a kind that is not accepted: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519')
}

function refused(why: string): WarrenError {
  return new WarrenError(ErrorCode.CertificateRefused, `the certificate of the host is refused: ${why}`)
}
