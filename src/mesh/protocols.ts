import { MAX_CARRIERS_PER_PEER, MAX_RELAYED_PER_PEER, MAX_REQUEST_STREAMS } from './limits.ts'

/** A protocol that hosts open streams for, and the number of its streams that one connection may hold in each direction. */
export interface StreamProtocol {
  readonly name: string
  readonly limits: {
    readonly maxInboundStreams: number
    readonly maxOutboundStreams: number
    readonly runOnLimitedConnection: boolean
  }
}

/** Bytes of the data plane: one stream carries one session between two workloads. */
export const DATA: StreamProtocol = protocol('/warren/data/1', MAX_CARRIERS_PER_PEER)

/** Requests and their responses, one after another on each stream. */
export const REQUESTS: StreamProtocol = protocol('/warren/request/1', MAX_REQUEST_STREAMS)

/** From the requesting member to the relay. Twice the streams that are served, so that one too many receives an answer. */
export const RELAY: StreamProtocol = protocol('/warren/relay/1', 2 * MAX_RELAYED_PER_PEER)

/** From the relay to the member that is to be reached. */
export const RELAYED: StreamProtocol = protocol('/warren/relayed/1', 2 * MAX_RELAYED_PER_PEER)

function protocol(name: string, maxStreams: number): StreamProtocol {
  // Over a relayed connection too: the mesh must work where nothing but a relay does.
  const limits = { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams, runOnLimitedConnection: true }
  return { name, limits }
}
