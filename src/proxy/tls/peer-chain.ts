import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** The certificates that the other end of a TLS connection has sent. */
export interface PeerChain {
  readonly leafDer: Uint8Array
  /** DER: node CA, authority; without the root, because sending a root proves nothing. */
  readonly issuersDer: readonly Uint8Array[]
}

/** Our chains have this many certificates below the root. */
const MAX_ISSUERS = 2

/** Returns the certificates that the other end has sent; undefined if it has sent none. */
export function peerChainOf(socket: TLSSocket): PeerChain | undefined {
  const leaf = socket.getPeerX509Certificate()
  if (leaf === undefined) return undefined
  const issuersDer: Uint8Array[] = []
  let next = issuerOf(leaf)
  while (next !== undefined && issuersDer.length < MAX_ISSUERS) {
    issuersDer.push(Uint8Array.from(next.raw))
    next = issuerOf(next)
  }
  return { leafDer: Uint8Array.from(leaf.raw), issuersDer }
}

// A root is its own issuer.
function issuerOf(certificate: X509Certificate): X509Certificate | undefined {
  const issuer = certificate.issuerCertificate
  return issuer === undefined || issuer.fingerprint256 === certificate.fingerprint256 ? undefined : issuer
}
