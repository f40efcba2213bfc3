import type { GossipSubComponents } from '@libp2p/gossipsub'
import type { Connection, Startable } from '@libp2p/interface'
import { detach, type Logger, loop } from '../../core/index.ts'
import { GOSSIP_GRACE_MS, GOSSIP_REPAIR_MS } from '../limits.ts'

const GOSSIP_PREFIX = '/meshsub/'

type Components = Pick<GossipSubComponents, 'registrar' | 'connectionManager'>

/**
 * Gives a connection a new gossip stream when it has lost its own.
 *
 * gossipsub opens its stream to a host once, when the host appears. If that stream is dropped while the connection
 * stays open (for example, the backlog of a slow host overflowed), the host would receive no more gossip from us for as long
 * as the connection lasts.
 */
export function gossipRepair(log: Logger): (components: Components) => Startable {
  return components => {
    let stopping = new AbortController()
    return {
      start: () => {
        stopping = new AbortController()
        const { signal } = stopping
        const options = { intervalMs: () => GOSSIP_REPAIR_MS, signal }
        detach(
          log,
          'gossip repair',
          loop(log, 'gossip repair', options, () => round(components, log)),
          signal
        )
      },
      stop: () => {
        stopping.abort()
      }
    }
  }
}

function round({ registrar, connectionManager }: Components, log: Logger): void {
  for (const connection of connectionManager.getConnections()) {
    if (Date.now() - connection.timeline.open < GOSSIP_GRACE_MS || speaksGossip(connection)) continue
    log.debug('gossip stream lost, opening another', { peer: connection.remotePeer.toString() })
    const protocols = registrar.getProtocols().filter(protocol => protocol.startsWith(GOSSIP_PREFIX))
    for (const protocol of protocols) {
      for (const topology of registrar.getTopologies(protocol)) topology.onConnect?.(connection.remotePeer, connection)
    }
  }
}

function speaksGossip(connection: Connection): boolean {
  return connection.streams.some(
    stream => stream.direction === 'outbound' && stream.protocol.startsWith(GOSSIP_PREFIX) && stream.status === 'open'
  )
}
