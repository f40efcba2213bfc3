import type { ListenOptions } from 'node:net'
import type { GossipSub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { type TCPOptions, tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { definedOnly, formatHostPort, type HostPort, type Logger, takeListener } from '../core/index.ts'
import { type AdmissionDeps, AdmissionEncrypter } from './admission/index.ts'
import { silenceCheck } from './connections/index.ts'
import { advertised, type Discovery, type DiscoveryOptions, discovery, listenAddress } from './dialing/index.ts'
import { gossipRepair } from './gossip/gossip-repair.ts'
import { gossipService } from './gossip/gossip-service.ts'
import type { PacedRegistrar } from './gossip/paced-registrar.ts'
import { peerKeyFromId } from './keys.ts'
import { libp2pLogger } from './libp2p-log.ts'
import { gatherWindowUpdates, type Pinger, type SharedPort, type StagedSockets } from './libp2p-shims/index.ts'
import {
  INBOUND_CONNECTIONS_PER_SECOND,
  MAX_ADDRESS_DIAL_TIMEOUT_MS,
  MAX_CONNECTIONS,
  MAX_PARALLEL_DIALS,
  MAX_PENDING_CONNECTIONS,
  MAX_SHARED_CONNECTIONS,
  MAX_STREAM_READ_BYTES,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAM_WRITE_BYTES,
  MAX_STREAMS_PER_CONNECTION,
  MAX_TIMER_MS,
  STOP_TIMEOUT_MS
} from './limits.ts'
import type { MeshOptions } from './types.ts'

export type MeshNode = Libp2p<{ pubsub: GossipSub; identify: Identify; ping: Ping; discovery: Discovery }>

const MAX_ACCEPTED_PENDING = 3 * MAX_PENDING_CONNECTIONS

export interface NodeOptions {
  readonly privateKey: PrivateKey
  readonly mesh: MeshOptions
  readonly admission: AdmissionDeps
  readonly discovery: DiscoveryOptions
  readonly pinger: Pinger
  readonly staged: StagedSockets
  readonly shared: SharedPort
  readonly paced: PacedRegistrar
}

const LISTENER = 'mesh listener '

/** The libp2p node of this mesh, not started. Every limit that libp2p leaves open is set here. */
export async function createNode({
  privateKey,
  mesh,
  admission,
  discovery: found,
  pinger,
  staged,
  shared,
  paced
}: NodeOptions): Promise<MeshNode> {
  const { advertise } = mesh
  const self = peerKeyFromId(peerIdFromPrivateKey(privateKey))
  let listening: () => Multiaddr[] = () => []
  // By its port as it is bound: a configuration may leave that open.
  shared.onListening((server, port) =>
    mesh.handover?.leaveListener(listenerName({ host: mesh.listen.host, port }), server)
  )
  // A listener at another address may have the same port.
  mesh.handover?.spendOverlapping(listenerName(mesh.listen), mesh.listen)
  // Node has this option and the type of libp2p does not: without it, a listener at [::] leaves IPv4 out.
  // A descriptor comes before an address.
  const listenOpts: NonNullable<TCPOptions['listenOpts']> & Pick<ListenOptions, 'ipv6Only'> & { fd?: number } = {
    ipv6Only: false,
    ...definedOnly({ fd: takeListener(mesh.handover, listenerName(mesh.listen)) })
  }
  // Above our own bounds, which make room: this one and that of the connection manager refuse whoever comes next.
  const transport = tcp({
    maxConnections: MAX_CONNECTIONS + MAX_ACCEPTED_PENDING + MAX_SHARED_CONNECTIONS,
    backlog: 512,
    listenOpts
  })
  return await createLibp2p({
    privateKey,
    start: false,
    logger: libp2pLogger(mesh.log),
    nodeInfo: { name: 'warren', version: '1', userAgent: 'warren' },
    addresses: {
      listen: [listenAddress(mesh.listen)],
      // The argument of the filter is not used: it lacks public addresses until another host has dialled them back.
      announceFilter: addresses => (advertise === undefined ? addresses : advertised(advertise(), listening(), self))
    },
    transports: [components => shared.watch(staged.watch(transport(components)))],
    connectionGater: admission.strangers.gater,
    connectionEncrypters: [components => new AdmissionEncrypter(noise()(components), admission)],
    streamMuxers: [
      () =>
        pinger.watch(
          gatherWindowUpdates(
            yamux({
              // One ping, for the round-trip time by which its windows grow. Later the silence check pings where necessary.
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
      maxIncomingPendingConnections: MAX_ACCEPTED_PENDING,
      inboundConnectionThreshold: INBOUND_CONNECTIONS_PER_SECOND,
      maxParallelDials: MAX_PARALLEL_DIALS,
      addressDialTimeout: MAX_ADDRESS_DIAL_TIMEOUT_MS
    },
    // See `silenceCheck`.
    connectionMonitor: { enabled: false },
    services: {
      identify: identify({ runOnLimitedConnection: true }),
      ping: ping({ runOnLimitedConnection: true }),
      pubsub: gossipService({ trustDomain: mesh.trustDomain, paced, log: mesh.log }),
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

/** With another address in its configuration, the next process binds that. */
function listenerName(at: HostPort): string {
  return `${LISTENER}${formatHostPort(at)}`
}

/** Stops the node, or after 5 s aborts its connections and abandons it. Never throws. */
export async function stopNode(node: MeshNode, log: Logger): Promise<void> {
  // libp2p's own stop can hang.
  const settled = Promise.withResolvers<'stopped' | 'late'>()
  const timer = setTimeout(() => settled.resolve('late'), STOP_TIMEOUT_MS)
  Promise.resolve(node.stop()).then(
    () => settled.resolve('stopped'),
    (err: unknown) => {
      log.warn('mesh did not stop cleanly', { err })
      settled.resolve('late')
    }
  )
  if ((await settled.promise) === 'late') {
    log.warn('mesh connections aborted', { peer: node.peerId.toString() })
    abortConnections(node)
  }
  clearTimeout(timer)
}

/** Ends all connections at once. */
export function abortConnections(node: MeshNode): void {
  for (const connection of node.getConnections()) connection.abort(new Error('the mesh has stopped'))
}
