import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import { LruMap } from '../../core/index.ts'
import { signedPartOf, spkiOfCertificate } from '../der.ts'
import { isP256, requireCanonical } from '../key-form.ts'
import { type Extensions, readExtensions } from './extensions.ts'

/** The longest certificate that is parsed: ours have about 800 bytes. */
export const MAX_CERTIFICATE_BYTES = 8 * 1024

/** The contents of a certificate. Nothing in it is verified. */
export interface ParsedCertificate extends Extensions {
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
  /** Whether the certificate names `issuer` as its issuer, and the key of `issuer` made its signature. */
  readonly isSignedBy: (issuer: ParsedCertificate) => boolean
}

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
  // it would check the signature of one certificate, and the names would be read from another.
  if (!own.raw.equals(der)) throw new RangeError('not exactly one certificate in DER')
  const spki = spkiOfCertificate(der)
  // The verifier refuses keys of other kinds: it knows what the certificate is for.
  if (isP256(own.publicKey)) requireCanonical(own.publicKey, 'its key', spki)
  const certificate: ParsedCertificate = Object.freeze({
    der: Uint8Array.from(der),
    sha256,
    contentSha256: createHash('sha256').update(signedPartOf(der)).digest('hex'),
    publicKey: own.publicKey,
    notBeforeMs: own.validFromDate.getTime(),
    notAfterMs: own.validToDate.getTime(),
    serial: own.serialNumber.toLowerCase(),
    ...readExtensions(der),
    isSignedBy: (issuer: ParsedCertificate) => {
      const other = native.get(issuer)
      return other !== undefined && own.checkIssued(other) && own.verify(issuer.publicKey)
    }
  })
  native.set(certificate, own)
  return certificate
}

/** A certificate as PEM. */
export function toPem(der: Uint8Array): string {
  return new X509Certificate(der).toString()
}
