import { ErrorCode, WarrenError } from '../../core/index.ts'
import { MAX_CERTIFICATE_BYTES, type ParsedCertificate, parseCertificate } from '../certificate/parse.ts'
import { isP256 } from '../key-form.ts'
import { Refusal } from './verdict.ts'

const DIGITAL_SIGNATURE = 1
const KEY_CERT_SIGN = 32
const CRL_SIGN = 64
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** Reads a certificate that a peer sent. Throws a Refusal, which distinguishes too large from unreadable. */
export function read(der: Uint8Array, what: string): ParsedCertificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new Refusal('too-large', `${what} has ${der.length} bytes`)
  try {
    return parseCertificate(der)
  } catch (err) {
    if (WarrenError.is(err, ErrorCode.CertificateRefused)) throw new Refusal('key-form', `${what}: ${err.reason}`)
    throw new Refusal('malformed', `${what} cannot be read`)
  }
}

/** Checks that apply to a certificate in every place: in date, P-256, and without unknown critical extensions. */
export function checkCommon(certificate: ParsedCertificate, what: string, nowMs: number): void {
  const { publicKey, unknownCritical, repeatedExtension } = certificate
  checkDates(certificate, what, nowMs)
  if (!isP256(publicKey)) throw new Refusal('key-type', `${what} has no P-256 key`)
  if (unknownCritical.length > 0 || repeatedExtension) {
    throw new Refusal('unknown-critical-extension', `${what} has an extension that is unknown or occurs twice`)
  }
}

/** Checks the dates at `nowMs`. If `nowMs` is not a number, every certificate is refused. */
export function checkDates({ notBeforeMs, notAfterMs }: ParsedCertificate, what: string, nowMs: number): void {
  if (!(nowMs >= notBeforeMs)) {
    throw new Refusal('not-yet-valid', `${what} is valid from ${new Date(notBeforeMs).toISOString()}`)
  }
  if (!(nowMs < notAfterMs)) throw new Refusal('expired', `${what} ended at ${new Date(notAfterMs).toISOString()}`)
}

/** Checks a CA that may sign certificates, with exactly this path length. */
export function checkAuthority(certificate: ParsedCertificate, what: string, pathLength: number | undefined): void {
  const { basicConstraints, keyUsage } = certificate
  if (basicConstraints?.ca !== true) throw new Refusal('not-a-ca', `${what} is not a CA`)
  if (basicConstraints.pathLength !== pathLength) {
    throw new Refusal('path-length', `${what} has path length ${basicConstraints.pathLength ?? 'none'}`)
  }
  if (keyUsage === undefined || (keyUsage & KEY_CERT_SIGN) === 0) {
    throw new Refusal('key-usage', `${what} may not sign certificates`)
  }
}

/** Checks an end entity for TLS in both directions, and for nothing else. */
export function checkLeaf(certificate: ParsedCertificate, what: string): void {
  const { basicConstraints, keyUsage, extendedKeyUsage, binding } = certificate
  if (basicConstraints?.ca === true || binding !== undefined) throw new Refusal('is-a-ca', `${what} is a CA`)
  if (keyUsage === undefined || (keyUsage & DIGITAL_SIGNATURE) === 0 || (keyUsage & (KEY_CERT_SIGN | CRL_SIGN)) !== 0) {
    throw new Refusal('key-usage', `${what} does not have the key usage of an end entity`)
  }
  if (extendedKeyUsage?.includes(SERVER_AUTH) !== true || !extendedKeyUsage.includes(CLIENT_AUTH)) {
    throw new Refusal('extended-key-usage', `${what} is not for TLS in both directions`)
  }
}

/** The only URI of a certificate. Refuses none, several, and a URI with other names of its kind beside it. */
export function onlyUri(certificate: ParsedCertificate, what: string): string {
  const uris = certificate.names.filter(name => name.type === 'url')
  const [uri] = uris
  if (uri === undefined || uris.length !== 1)
    throw new Refusal('names', `${what} has ${uris.length} URI names, not one`)
  return uri.value
}
