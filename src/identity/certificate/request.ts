import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { signatureOf, signedPartOf, spkiOfRequest } from '../der.ts'
import { integer, sequence, tagged } from '../der-writer.ts'
import { p256KeyOf } from '../key-form.ts'
import { distinguishedName, ECDSA_SHA256, signed } from '../signed.ts'

const verifyInPool = promisify(verify)
const MAX_CSR_BYTES = 4 * 1024

/** A PKCS#10 request (DER): proves that its maker holds this P-256 key. */
export async function requestFor(machine: string, key: KeyObject): Promise<Uint8Array> {
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  // The last field: no attributes.
  return await signed(sequence(integer(0), distinguishedName({ CN: machine }), spki, tagged(0, Buffer.alloc(0))), key)
}

/** The P-256 key that a request proves, in its one form. Throws MESSAGE_TOO_LARGE or CERTIFICATE_REFUSED. */
export async function provenKey(csr: Uint8Array): Promise<KeyObject> {
  if (csr.length > MAX_CSR_BYTES)
    throw new WarrenError(ErrorCode.MessageTooLarge, 'the certificate request is too large')
  try {
    const key = p256KeyOf(spkiOfRequest(csr), 'the key of the certificate request')
    const { algorithm, signature } = signatureOf(csr)
    const isProven = ECDSA_SHA256.equals(algorithm) && (await verifyInPool('sha256', signedPartOf(csr), key, signature))
    if (isProven) return key
  } catch (cause) {
    if (WarrenError.is(cause, ErrorCode.CertificateRefused)) throw cause
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request cannot be read', { cause })
  }
  throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request does not prove a P-256 key')
}
