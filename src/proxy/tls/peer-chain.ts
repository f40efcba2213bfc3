import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** What the other end of a TLS connection has shown. */
export interface PeerChain {
  readonly leafDer: Uint8Array
  /** DER: node CA, authority; without the root, which proves nothing by being sent. */
  readonly issuersDer: readonly Uint8Array[]
}

/** A chain of ours has this many certificates below the root. */
const MAX_ISSUERS = 2

/** The certificates that the other end has shown; undefined if it has shown none. */
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
