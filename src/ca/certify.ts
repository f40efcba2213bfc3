import { createPublicKey } from 'node:crypto'
import { type Clock, ErrorCode, WarrenError } from '../core/index.ts'
import { generateSigningKeyPair, issueWorkload, toPem } from '../identity/index.ts'
import type { Credentials } from './membership/index.ts'
import type { Svid } from './svids.ts'

/**
 * Issues X.509-SVIDs with the current CA of this host; each has a key of its own that exists in memory only.
 *
 * Rejects with CERTIFICATE_EXPIRED while the certificate of the host itself is expired.
 */
export function certifier(
  credentials: Credentials,
  lifetimeMs: number,
  clock: Clock
): (spiffeId: string, dnsNames?: readonly string[]) => Promise<Svid> {
  return async (spiffeId, dnsNames) => {
    const now = clock.wallMs()
    const { issuers, node } = credentials
    if (credentials.hasExpired(now)) {
      const ended = new Date(node.notAfterMs).toISOString()
      throw new WarrenError(ErrorCode.CertificateExpired, `the certificate of this host ended at ${ended}`, {
        hint: 'It is renewed as soon as an authority answers; `warren status` shows what prevents it.'
      })
    }
    const key = generateSigningKeyPair()
    const publicKey = createPublicKey(key)
    const leaf = await issueWorkload({ node: issuers.signer, spiffeId, dnsNames, publicKey, nowMs: now, lifetimeMs })
    const chainDer = [leaf, ...issuers.chainDer]
    return {
      chainDer,
      certPem: chainDer.map(toPem).join(''),
      key,
      notBeforeMs: now,
      notAfterMs: Math.min(now + lifetimeMs, node.notAfterMs)
    }
  }
}
