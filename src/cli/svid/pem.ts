import { createPrivateKey, X509Certificate } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { spiffePb } from '../../wire/index.ts'

/** An identity as files hold it. */
export interface PemSvid {
  readonly spiffeId: string
  /** Leaf first. */
  readonly certificates: string
  /** PKCS #8. */
  readonly key: string
  readonly bundle: string
  /** When the leaf ends. */
  readonly notAfterMs: number
}

/** An identity of the Workload API, which speaks DER, as PEM. Throws INTERNAL if it cannot be read. */
export function toPemSvid({ spiffeId, x509Svid, x509SvidKey, bundle }: spiffePb.X509SVID): PemSvid {
  try {
    const chain = certificatesOf(x509Svid)
    const key = createPrivateKey({ key: Buffer.from(x509SvidKey), format: 'der', type: 'pkcs8' })
    const [leaf] = chain
    if (leaf === undefined || !leaf.checkPrivateKey(key)) throw new Error('the key is of another certificate')
    return {
      spiffeId,
      certificates: chain.join(''),
      key: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
      bundle: certificatesOf(bundle).join(''),
      notAfterMs: leaf.validToDate.getTime()
    }
  } catch (cause) {
    throw new WarrenError(ErrorCode.Internal, `the agent gave no usable certificate of ${spiffeId}`, { cause })
  }
}

/** Certificates that follow each other without anything in between. */
function certificatesOf(der: Uint8Array): X509Certificate[] {
  const certificates: X509Certificate[] = []
  for (let rest = der; rest.length > 0; ) {
    const certificate = new X509Certificate(rest)
    certificates.push(certificate)
    rest = rest.subarray(certificate.raw.length)
  }
  return certificates
}
