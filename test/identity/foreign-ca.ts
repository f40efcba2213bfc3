import 'reflect-metadata'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const P256 = { name: 'ECDSA', namedCurve: 'P-256' }
const HOUR_MS = 3_600_000

/** A certificate of another CA than those of warren, with its key. */
export interface Foreign {
  readonly der: Uint8Array<ArrayBuffer>
  readonly pem: string
  readonly key: KeyObject
}

export interface ForeignOptions {
  readonly subject: string
  readonly issuer?: Foreign
  readonly ca?: boolean
  readonly pathLength?: number
  readonly dns?: readonly string[]
  readonly uri?: readonly string[]
  readonly usage?: x509.KeyUsageFlags
  readonly extended?: readonly string[]
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
  /** An extension that nobody knows, and that is critical. */
  readonly unknownCritical?: boolean
  readonly key?: KeyObject
}

/** Makes a certificate, self-signed without an issuer. */
export async function foreign(options: ForeignOptions): Promise<Foreign> {
  const { subject, issuer, ca = false, pathLength, dns = [], uri = [], extended } = options
  const key = options.key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const usage = options.usage ?? (ca ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature)
  const names = [...dns.map(value => ({ type: 'dns', value })), ...uri.map(value => ({ type: 'url', value }))]
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '4d',
    subject,
    issuer: issuer === undefined ? subject : new x509.X509Certificate(issuer.der).subject,
    notBefore: new Date(options.notBeforeMs ?? Date.now() - HOUR_MS),
    notAfter: new Date(options.notAfterMs ?? Date.now() + HOUR_MS),
    // The DER of any kind of key: only the issuer signs here, with P-256.
    publicKey: new x509.PublicKey(Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }))),
    signingKey: (issuer?.key ?? key).toCryptoKey(P256, true, ['sign']),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(ca, pathLength, true),
      new x509.KeyUsagesExtension(usage, true),
      ...(extended === undefined ? [] : [new x509.ExtendedKeyUsageExtension([...extended])]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names as x509.JsonGeneralNames)]),
      ...(options.unknownCritical === true ? [new x509.Extension('1.2.3.4', true, Uint8Array.of(5, 0))] : [])
    ]
  })
  return { der: new Uint8Array(certificate.rawData), pem: `${certificate.toString('pem')}\n`, key }
}
