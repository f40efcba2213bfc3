import type { Socket } from 'node:net'
import { within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { PUNCHED_DIAL_TIMEOUT_MS } from '../punch/index.ts'
import { DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'
import { openSession } from '../tls/index.ts'
import type { Carrier, Path } from './carrier.ts'
import { type IdentifyDeps, identifyOver } from './identify.ts'

/** A TCP connection that both agents have begun at the same moment, each through its own NAT. */
export const PUNCHED_PATH: Path = Object.freeze({
  name: 'punched',
  allows: Object.freeze({ fastPath: true, datagrams: false, identification: true, unauthenticated: false })
})

export interface PunchedCarrierDeps extends IdentifyDeps {
  readonly punch: {
    /** Whether another member can arrange a connection to the agent `peer`. */
    readonly canReach: (peer: PeerKey) => boolean
    /**
     * Resolves with a TCP connection to the agent `peer`, for a registration of this host or for the agent. Proves nothing of who is
     * at its other end.
     */
    readonly connect: (peer: PeerKey, sourceId: string | undefined, signal: AbortSignal) => Promise<Socket>
  }
}

/**
 * Has a third member arrange a connection where neither agent can dial the other. On it everything is as on a direct one: this
 * agent is the client of TLS, and has each fast-path connection arranged in the same way.
 */
export function punched(deps: PunchedCarrierDeps): Carrier {
  const { punch } = deps
  return {
    name: PUNCHED_PATH.name,
    rank: 2.5,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    beginsWithNext: true,
    allows: PUNCHED_PATH.allows,
    canReach: ({ peer }) => punch.canReach(peer),
    probedIf: 'no better one reaches',
    probes: ({ peer, ...agent }) =>
      punch.canReach(peer)
        ? [
            {
              run: async signal => {
                await identifyOver(await punch.connect(peer, undefined, signal), { ...agent, peer }, deps, signal)
                return PUNCHED_PATH.name
              }
            }
          ]
        : [],
    dial: ({ peer }, options, signal) =>
      within(PUNCHED_DIAL_TIMEOUT_MS, [signal], async limit => {
        const connect = (other: AbortSignal) => punch.connect(peer, options.sourceId, other)
        const dialled = await openSession(await connect(limit), options, limit)
        return { ...dialled, connectBeside: connect, path: PUNCHED_PATH }
      })
  }
}
