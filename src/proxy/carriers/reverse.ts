import type { Socket } from 'node:net'
import { within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { DIAL_TIMEOUT_MS, DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'
import { openSession } from '../tls/index.ts'
import type { Carrier, Path } from './carrier.ts'
import { type IdentifyDeps, identifyOver } from './identify.ts'

/** A TCP connection that the agent of the destination has made to the data port of the agent of the source. */
export const REVERSE_PATH: Path = Object.freeze({
  name: 'reverse',
  allows: Object.freeze({ fastPath: true, datagrams: false, identification: true, unauthenticated: false })
})

export interface ReverseCarrierDeps extends IdentifyDeps {
  /**
   * Resolves with a TCP connection that the agent `peer` has made to this host, for a registration of this host or for the agent.
   * Proves nothing of who is at its other end.
   */
  readonly connectBack: (peer: PeerKey, sourceId: string | undefined, signal: AbortSignal) => Promise<Socket>
}

/**
 * Asks the other agent to dial this one, where this one cannot dial it. On the connection everything is as on a direct one:
 * this agent is the client of TLS, and opens each fast-path connection, for which it asks in the same way.
 */
export function reverse(deps: ReverseCarrierDeps): Carrier {
  const { connectBack } = deps
  return {
    name: REVERSE_PATH.name,
    rank: 2,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: false,
    allows: REVERSE_PATH.allows,
    canReach: () => true,
    // It is asked over the mesh, so the mesh reaches wherever this may.
    probedIf: 'only worse ones reach',
    probes: agent => [
      {
        run: async signal => {
          await identifyOver(await connectBack(agent.peer, undefined, signal), agent, deps, signal)
          return REVERSE_PATH.name
        }
      }
    ],
    dial: ({ peer }, options, signal) =>
      within(DIAL_TIMEOUT_MS, [signal], async limit => {
        const connect = (other: AbortSignal) => connectBack(peer, options.sourceId, other)
        const dialled = await openSession(await connect(limit), options, limit)
        return { ...dialled, connectBeside: connect, path: REVERSE_PATH }
      })
  }
}
