import type { Duplex } from 'node:stream'
import { raceAbort, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { CARRIER_TIMEOUT_MS, DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'
import { openSession } from '../tls/index.ts'
import type { Carrier, Path } from './carrier.ts'

/** A stream of the mesh connection between the two agents. */
export const MESH_PATH: Path = Object.freeze({
  name: 'mesh',
  allows: Object.freeze({ fastPath: false, datagrams: false, identification: false, unauthenticated: false })
})

export interface MeshCarrierDeps {
  /** Opens a stream to the agent `peer` over the mesh. Rejects when there is no path. */
  readonly openStream: (peer: PeerKey, options: { readonly signal: AbortSignal }) => Promise<Duplex>
  /** Asks the agent `peer` for a sign of life over the mesh. Rejects when there is none. */
  readonly askAlive: (peer: PeerKey, signal: AbortSignal) => Promise<void>
}

/** Opens a stream of the mesh, which looks after its own connections: whether it has one shows when it is asked. */
export function mesh({ openStream, askAlive }: MeshCarrierDeps): Carrier {
  return {
    name: MESH_PATH.name,
    rank: 3,
    backoff: { firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS },
    isLastResort: true,
    allows: MESH_PATH.allows,
    canReach: () => true,
    probedIf: 'always',
    probes: ({ peer }) => [{ run: signal => raceAbort(askAlive(peer, signal), signal).then(() => MESH_PATH.name) }],
    dial: ({ peer }, options, signal) =>
      within(CARRIER_TIMEOUT_MS, [signal], async limit => {
        const stream = await openStream(peer, { signal: limit })
        return { ...(await openSession(stream, options, limit)), path: MESH_PATH }
      })
  }
}
