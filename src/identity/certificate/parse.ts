import { LruMap } from '../../core/index.ts'
import 'reflect-metadata'
import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { signedPartOf, spkiOfCertificate } from '../der.ts'
import { isP256, requireCanonical } from '../key-form.ts'
import { bindingFromExtension, NODE_BINDING_OID } from './binding.ts'

/** The longest certificate that is parsed: ours have about 800 bytes. */
export const MAX_CERTIFICATE_BYTES = 8 * 1024

/** The contents of a certificate. Nothing in it is verified. */
export interface ParsedCertificate {
  readonly der: Uint8Array
  readonly sha256: string
  /**
   * Hex SHA-256 of the bytes that the issuer signed. Unlike `sha256` it names one certificate: from one ECDSA signature, anybody
   * can make a second one for the same bytes.
   */
  readonly contentSha256: string
  readonly publicKey: KeyObject
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly serial: string
  /** Undefined without the basic constraints extension. */
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined
  /** Bits of the key usage extension; undefined without it. */
  readonly keyUsage: number | undefined
  /** OIDs of the extended key usage extension; undefined without it. */
  readonly extendedKeyUsage: readonly string[] | undefined
  /** Every subject alternative name, as type and value. */
  readonly names: ReadonlyArray<{ readonly type: string; readonly value: string }>
  /** Bytes of a SignedNodeBinding; undefined without the extension. */
  readonly binding: Uint8Array | undefined
  /** Critical extensions that this code does not understand. */
  readonly unknownCritical: readonly string[]
  /** Whether an extension occurs twice, so that two readers could read different values. */
  readonly repeatedExtension: boolean
  /** Whether the certificate names `issuer` as its issuer, and the key of `issuer` made its signature. */
  readonly isSignedBy: (issuer: ParsedCertificate) => boolean
}

const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const ALTERNATIVE_NAME = '2.5.29.17'
const SUBJECT_KEY_ID = '2.5.29.14'
const AUTHORITY_KEY_ID = '2.5.29.35'
const UNDERSTOOD = new Set([
  BASIC_CONSTRAINTS,
  KEY_USAGE,
  EXTENDED_KEY_USAGE,
  ALTERNATIVE_NAME,
  SUBJECT_KEY_ID,
  AUTHORITY_KEY_ID,
  NODE_BINDING_OID
])

/** The number of parsed certificates that are kept for reuse. */
const MAX_KEPT = 128

const native = new WeakMap<ParsedCertificate, X509Certificate>()
/** By hash; the least recently used first. */
const kept = new LruMap<string, ParsedCertificate>(MAX_KEPT)

/**
 * Reads one certificate. Throws an error of any kind when it is too large or cannot be read; CERTIFICATE_REFUSED for a P-256 key
 * that is not in its one form.
 *
 * Results are kept: parsing takes milliseconds, and every chain that a host shows, to each other host and with each of its
 * records, ends in the same authority and root.
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new RangeError(`a certificate of ${der.length} bytes`)
  const sha256 = createHash('sha256').update(der).digest('hex')
  const certificate = kept.get(sha256) ?? parse(der, sha256)
  kept.set(sha256, certificate)
  return certificate
}

function parse(der: Uint8Array, sha256: string): ParsedCertificate {
  const own = new X509Certificate(der)
  // Node finds PEM text anywhere in the bytes, and ignores bytes behind a certificate. Unless it read exactly these bytes,
  // it would check the signature of one certificate and the parser below would read the names of another.
  if (!own.raw.equals(der)) throw new RangeError('not exactly one certificate in DER')
  const spki = spkiOfCertificate(der)
  // The verifier refuses keys of other kinds: it knows what the certificate is for.
  if (isP256(own.publicKey)) requireCanonical(own.publicKey, 'its key', spki)
  const parsed = new x509.X509Certificate(Uint8Array.from(der))
  const types = parsed.extensions.map(extension => extension.type)
  const constraints = parsed.getExtension(x509.BasicConstraintsExtension)
  const binding = parsed.getExtension(NODE_BINDING_OID)
  // A chain is verified when its host is admitted, and again with the state of that host; the authority, with each chain.
  let signer: ParsedCertificate | undefined
  const certificate: ParsedCertificate = Object.freeze({
    der: Uint8Array.from(der),
    sha256,
    contentSha256: createHash('sha256').update(signedPartOf(der)).digest('hex'),
    publicKey: own.publicKey,
    notBeforeMs: own.validFromDate.getTime(),
    notAfterMs: own.validToDate.getTime(),
    serial: own.serialNumber.toLowerCase(),
    basicConstraints: constraints === null ? undefined : { ca: constraints.ca, pathLength: constraints.pathLength },
    keyUsage: parsed.getExtension(x509.KeyUsagesExtension)?.usages,
    extendedKeyUsage: parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages.map(String),
    names: (parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? []).map(({ type, value }) => ({
      type,
      value
    })),
    binding: binding === null ? undefined : bindingFromExtension(binding.value),
    unknownCritical: parsed.extensions
      .filter(({ critical, type }) => critical && !UNDERSTOOD.has(type))
      .map(e => e.type),
    repeatedExtension: new Set(types).size !== types.length,
    isSignedBy: issuer => {
      if (issuer === signer) return true
      const other = native.get(issuer)
      const isSigned = other !== undefined && own.checkIssued(other) && own.verify(issuer.publicKey)
      if (isSigned) signer = issuer
      return isSigned
    }
  })
  native.set(certificate, own)
  return certificate
}

/** A certificate as PEM. */
export function toPem(der: Uint8Array): string {
  return new X509Certificate(der).toString()
}
