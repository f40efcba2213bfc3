import { PROTOCOLS } from '../core/index.ts'
import { MAX_CARRIERS_PER_PEER, MAX_RELAYED_PER_PEER, MAX_REQUEST_STREAMS } from './limits.ts'

/** Versions that an error names. */
const MAX_SHOWN = 8

/** A protocol that hosts open streams for, and the number of its streams that one connection may hold in each direction. */
export interface StreamProtocol {
  /** One for each version that this host speaks, the best first: libp2p takes the first that the peer speaks as well. */
  readonly names: readonly string[]
  readonly limits: {
    readonly maxInboundStreams: number
    readonly maxOutboundStreams: number
    readonly runOnLimitedConnection: boolean
  }
}

/** Bytes of the data plane: one stream carries one session between two workloads. */
export const DATA: StreamProtocol = protocol('/warren/data', MAX_CARRIERS_PER_PEER)

/** Requests and their responses, one after another on each stream. */
export const REQUESTS: StreamProtocol = protocol('/warren/request', MAX_REQUEST_STREAMS)

/** From the requesting member to the relay. Twice the streams that are served, so that one too many receives an answer. */
export const RELAY: StreamProtocol = protocol('/warren/relay', 2 * MAX_RELAYED_PER_PEER)

/** From the relay to the member that is to be reached. */
export const RELAYED: StreamProtocol = protocol('/warren/relayed', 2 * MAX_RELAYED_PER_PEER)

/** The versions among `names` of the protocol that `name` is a version of, for errors: "1" or "2, 1"; at most eight. */
export function versionsAmong(names: Iterable<string>, name: string): string {
  const [base] = versioned(name) ?? []
  const all = [...names].flatMap(other => {
    const [otherBase, version] = versioned(other) ?? []
    return base !== undefined && otherBase === base && version !== undefined ? [version] : []
  })
  return all.slice(0, MAX_SHOWN).join(', ')
}

/** The name of a protocol without its version, and the version. Undefined for any other text. */
export function versioned(name: string): readonly [string, string] | undefined {
  const [, base, version] = /^(\/warren\/[a-z-]{1,32})\/(\d{1,5})$/.exec(name) ?? []
  return base === undefined || version === undefined ? undefined : [base, version]
}

function protocol(base: string, maxStreams: number): StreamProtocol {
  // Over a relayed connection too: the mesh must work where nothing but a relay does.
  const limits = { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams, runOnLimitedConnection: true }
  const { min, max } = PROTOCOLS.mesh
  const names = Array.from({ length: max - min + 1 }, (_, at) => `${base}/${max - at}`)
  return { names, limits }
}
