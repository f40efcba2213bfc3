import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../core/index.ts'

/**
 * A P-256 key has one form here: SubjectPublicKeyInfo in DER, a named curve, an uncompressed point. In any other form the
 * same key has another hash, and a revocation, which names the hash, would not find it.
 *
 * https://www.rfc-editor.org/rfc/rfc5480#section-2
 */
const HEADER = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
const UNCOMPRESSED = 0x04
const COMPRESSED: ReadonlySet<number | undefined> = new Set([0x02, 0x03])
const HYBRID: ReadonlySet<number | undefined> = new Set([0x06, 0x07])
const POINT_BYTES = 65
const SPKI_BYTES = HEADER.length + POINT_BYTES
const COMPRESSED_SPKI_BYTES = SPKI_BYTES - 32

const HINT = 'Give a P-256 key in SubjectPublicKeyInfo DER, with a named curve and an uncompressed point.'

/** Whether it is a P-256 key, in any form. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
}

/**
 * The difference between the form of a P-256 key and the one form, as a noun for people; undefined if there is none.
 *
 * `der` is the SubjectPublicKeyInfo that the key was read from: the library reads more encodings than it writes.
 */
export function formFault(key: KeyObject, der?: Uint8Array): string | undefined {
  const written = key.export({ format: 'der', type: 'spki' })
  if (isCanonical(written)) {
    return der === undefined || written.equals(der) ? undefined : 'an encoding that is not DER'
  }
  if (written.length === SPKI_BYTES && HYBRID.has(written[HEADER.length])) return 'a hybrid point'
  // The bytes before the point have the same size in all three forms.
  if (written.length === COMPRESSED_SPKI_BYTES && COMPRESSED.has(written[HEADER.length])) return 'a compressed point'
  return 'a curve that is spelled out instead of named'
}

/** Throws CERTIFICATE_REFUSED unless it is a P-256 key in its one form; `what` begins the reason. See `formFault`. */
export function requireCanonical(key: KeyObject, what: string, der?: Uint8Array): void {
  if (!isP256(key)) throw new WarrenError(ErrorCode.CertificateRefused, `${what} is not a P-256 key`)
  const fault = formFault(key, der)
  if (fault === undefined) return
  throw new WarrenError(ErrorCode.CertificateRefused, `${what} has ${fault}`, { hint: HINT })
}

/** The P-256 key of a SubjectPublicKeyInfo. Throws CERTIFICATE_REFUSED, also for a key that is not in the one form. */
export function p256KeyOf(spki: Uint8Array, what: string): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new WarrenError(ErrorCode.CertificateRefused, `${what} cannot be read`, { cause })
  }
  requireCanonical(key, what, spki)
  return key
}

function isCanonical(spki: Buffer): boolean {
  return (
    spki.length === SPKI_BYTES && spki.subarray(0, HEADER.length).equals(HEADER) && spki[HEADER.length] === UNCOMPRESSED
  )
}
