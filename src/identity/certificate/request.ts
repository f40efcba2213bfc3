import 'reflect-metadata'
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { spkiOfRequest } from '../der.ts'
import { p256KeyOf } from '../key-form.ts'

const MAX_CSR_BYTES = 4 * 1024
const P256 = Object.freeze({ name: 'ECDSA', namedCurve: 'P-256' })

/** A PKCS#10 request (DER): proves that its maker holds this P-256 key. */
export async function requestFor(machine: string, key: KeyObject): Promise<Uint8Array> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${machine}`,
    keys: {
      privateKey: key.toCryptoKey(P256, true, ['sign']),
      publicKey: createPublicKey(key).toCryptoKey(P256, true, ['verify'])
    },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' }
  })
  return new Uint8Array(request.rawData)
}

/** The P-256 key that a request proves, in its one form. Throws MESSAGE_TOO_LARGE or CERTIFICATE_REFUSED. */
export async function provenKey(csr: Uint8Array): Promise<KeyObject> {
  if (csr.length > MAX_CSR_BYTES)
    throw new WarrenError(ErrorCode.MessageTooLarge, 'the certificate request is too large')
  try {
    // Read from the original bytes: the parser would encode the key anew.
    const key = p256KeyOf(spkiOfRequest(csr), 'the key of the certificate request')
    const request = new x509.Pkcs10CertificateRequest(Uint8Array.from(csr))
    if (await request.verify()) return key
  } catch (cause) {
    if (WarrenError.is(cause, ErrorCode.CertificateRefused)) throw cause
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request cannot be read', { cause })
  }
  throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request does not prove a P-256 key')
}
