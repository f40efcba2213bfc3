import type { GossipSub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { silentMetrics } from '../core/index.ts'
import { type AdmissionDeps, AdmissionEncrypter } from './admission/encrypter.ts'
import { advertised, listenAddress } from './dialing/addresses.ts'
import { type DiscoveryOptions, discovery } from './dialing/discovery.ts'
import type { Pinger } from './dialing/pinger.ts'
import { silenceCheck } from './dialing/silence.ts'
import { gossipService } from './gossip/gossip.ts'
import { gossipRepair } from './gossip/gossip-repair.ts'
import { peerKeyFromId } from './keys.ts'
import { libp2pLogger } from './libp2p-shims/libp2p-log.ts'
import { gatherWindowUpdates } from './libp2p-shims/window-updates.ts'
import {
  INBOUND_CONNECTIONS_PER_SECOND,
  MAX_ADDRESS_DIAL_TIMEOUT_MS,
  MAX_CONNECTIONS,
  MAX_PARALLEL_DIALS,
  MAX_PENDING_CONNECTIONS,
  MAX_STREAM_READ_BYTES,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAM_WRITE_BYTES,
  MAX_STREAMS_PER_CONNECTION,
  MAX_TIMER_MS
} from './limits.ts'
import type { MeshOptions } from './types.ts'

export type MeshNode = Libp2p<{ pubsub: GossipSub; identify: Identify; ping: Ping }>

export interface NodeOptions {
  readonly privateKey: PrivateKey
  readonly mesh: MeshOptions
  readonly admission: AdmissionDeps
  readonly discovery: DiscoveryOptions
  readonly pinger: Pinger
}

/** The libp2p node of this mesh, not started. Every limit that libp2p leaves open is set here. */
export async function createNode({
  privateKey,
  mesh,
  admission,
  discovery: found,
  pinger
}: NodeOptions): Promise<MeshNode> {
  const { advertise } = mesh
  const self = peerKeyFromId(peerIdFromPrivateKey(privateKey))
  let listening: () => Multiaddr[] = () => []
  return await createLibp2p({
    privateKey,
    start: false,
    logger: libp2pLogger(mesh.log),
    nodeInfo: { name: 'warren', version: '1', userAgent: 'warren' },
    addresses: {
      listen: [listenAddress(mesh.listen)],
      // Not from what the filter is given: public addresses are missing there until somebody has dialled them back.
      announceFilter: addresses => (advertise === undefined ? addresses : advertised(advertise(), listening(), self))
    },
    transports: [tcp({ maxConnections: MAX_CONNECTIONS + MAX_PENDING_CONNECTIONS, backlog: 256 })],
    connectionEncrypters: [components => new AdmissionEncrypter(noise()(components), admission)],
    streamMuxers: [
      () =>
        pinger.watch(
          gatherWindowUpdates(
            yamux({
              // Once, for the round-trip time that its windows grow by. From then on the silence check asks where need be.
              keepAliveInterval: MAX_TIMER_MS,
              maxInboundStreams: MAX_STREAMS_PER_CONNECTION,
              maxOutboundStreams: MAX_STREAMS_PER_CONNECTION,
              streamOptions: {
                maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES,
                maxReadBufferLength: MAX_STREAM_READ_BYTES,
                maxWriteBufferLength: MAX_STREAM_WRITE_BYTES
              }
            })()
          )
        )
    ],
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      maxIncomingPendingConnections: MAX_PENDING_CONNECTIONS,
      inboundConnectionThreshold: INBOUND_CONNECTIONS_PER_SECOND,
      maxParallelDials: MAX_PARALLEL_DIALS,
      addressDialTimeout: MAX_ADDRESS_DIAL_TIMEOUT_MS
    },
    // See `silenceCheck`.
    connectionMonitor: { enabled: false },
    services: {
      identify: identify({ runOnLimitedConnection: true }),
      ping: ping({ runOnLimitedConnection: true }),
      pubsub: gossipService(mesh.trustDomain, mesh.metrics ?? silentMetrics),
      discovery: discovery(found),
      gossipRepair: gossipRepair(mesh.log),
      listening: ({ transportManager }: { readonly transportManager: { getAddrs(): Multiaddr[] } }) => {
        listening = () => transportManager.getAddrs()
        return {}
      },
      silenceCheck: silenceCheck(admission.sessions, pinger, mesh.log)
    }
  })
}
