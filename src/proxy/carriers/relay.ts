import type { Duplex } from 'node:stream'
import { raceAbort, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { CARRIER_TIMEOUT_MS, RELAY_BACKOFF_MAX_MS, RELAY_BACKOFF_MS } from '../timing.ts'
import { openSession } from '../tls/index.ts'
import type { Allowed, Carrier, Path } from './carrier.ts'

export interface RelayCarrierDeps {
  /** Opens a stream to the agent `peer` through a third member, which is trusted only to pass the bytes on. */
  readonly openRelayed: (
    peer: PeerKey,
    options: { readonly signal: AbortSignal }
  ) => Promise<{ readonly stream: Duplex; readonly via: string }>
  /** The machine of a member that reaches the agent `peer` now. Rejects when there is none. */
  readonly helperFor: (peer: PeerKey) => Promise<string>
}

const ALLOWED: Allowed = Object.freeze({
  fastPath: false,
  datagrams: false,
  identification: false,
  unauthenticated: false
})

/** A stream that the machine `via` passes on. */
export function relayPath(via: string): Path {
  return { name: `relay via ${via}`, allows: ALLOWED }
}

/** Asks other members to pass a stream on. */
export function relay({ openRelayed, helperFor }: RelayCarrierDeps): Carrier {
  return {
    name: 'relay',
    rank: 4,
    backoff: { firstMs: RELAY_BACKOFF_MS, longestMs: RELAY_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: ALLOWED,
    canReach: () => true,
    probedIf: 'none other reaches',
    probes: ({ peer }) => [{ run: async signal => relayPath(await raceAbort(helperFor(peer), signal)).name }],
    dial: ({ peer }, options, signal) =>
      within(CARRIER_TIMEOUT_MS, [signal], async limit => {
        const { stream, via } = await openRelayed(peer, { signal: limit })
        return { ...(await openSession(stream, options, limit)), path: relayPath(via) }
      })
  }
}
