import 'reflect-metadata'
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { ErrorCode, WarrenError } from '../../core/index.ts'

const MAX_CSR_BYTES = 4 * 1024
const P256 = Object.freeze({ name: 'ECDSA', namedCurve: 'P-256' })

/** A PKCS#10 request (DER): the proof that who makes it holds this P-256 key. */
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

/** The P-256 key that a request proves. Throws MESSAGE_TOO_LARGE or CERTIFICATE_REFUSED. */
export async function provenKey(csr: Uint8Array): Promise<KeyObject> {
  if (csr.length > MAX_CSR_BYTES)
    throw new WarrenError(ErrorCode.MessageTooLarge, 'the certificate request is too large')
  try {
    const request = new x509.Pkcs10CertificateRequest(Uint8Array.from(csr))
    const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' })
    const isP256 = key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    if (isP256 && (await request.verify())) return key
  } catch (cause) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request cannot be read', { cause })
  }
  throw new WarrenError(ErrorCode.CertificateRefused, 'the certificate request does not prove a P-256 key')
}
