import { createPublicKey } from 'node:crypto'
import { type Clock, ErrorCode, WarrenError } from '../core/index.ts'
import { generateSigningKeyPair, issueWorkload, LIFETIME_MS, toPem } from '../identity/index.ts'
import type { Membership } from './membership/index.ts'
import type { Svid } from './svids.ts'

/** Issues X.509-SVIDs with the CA of this host; each has a key of its own that exists in memory only. */
export function certifier(membership: Membership, clock: Clock): (spiffeId: string) => Promise<Svid> {
  const { node, nodeKey } = membership
  const [certificate, authority] = node.chainDer
  return async spiffeId => {
    if (certificate === undefined || authority === undefined) throw new WarrenError(ErrorCode.Internal, 'no node chain')
    const key = generateSigningKeyPair()
    const now = clock.wallMs()
    const leaf = await issueWorkload({
      node: { certificate, key: nodeKey },
      spiffeId,
      publicKey: createPublicKey(key),
      nowMs: now
    })
    const chainDer = [leaf, certificate, authority]
    return {
      chainDer,
      certPem: chainDer.map(toPem).join(''),
      key,
      notBeforeMs: now,
      notAfterMs: Math.min(now + LIFETIME_MS.workload, node.notAfterMs)
    }
  }
}
