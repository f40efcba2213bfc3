import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { silentMetrics } from '../core/index.ts'
import { AdmissionLog, Duplicates, Sessions, Strangers } from './admission/index.ts'
import { Connections, DataStreams, OnDemand, PeerStreams } from './connections/index.ts'
import { dial, parsePeerAddress, Redialer, reach } from './dialing/index.ts'
import { Gossip } from './gossip/gossip.ts'
import { PacedRegistrar } from './gossip/paced-registrar.ts'
import { peerKeyFromId, toPeerId, toPrivateKey } from './keys.ts'
import { Pinger, SharedPort, StagedSockets } from './libp2p-shims/index.ts'
import { MAX_GOSSIP_WAITING_BYTES } from './limits.ts'
import { Libp2pMesh, type MeshParts } from './mesh.ts'
import { createNode } from './node.ts'
import { REQUESTS } from './protocols.ts'
import { RelayService } from './relay/index.ts'
import { RequestService } from './requests/request-service.ts'
import type { Mesh, MeshOptions } from './types.ts'

/** Makes the mesh of one host, not started: set the handlers first. Throws INVALID_ARGUMENT, INVALID_OPTION. */
export async function createMesh(options: MeshOptions): Promise<Mesh> {
  const { nodeChain, verifyChain, onRefused, trustDomain, bootstrap, log, clock, metrics = silentMetrics } = options
  const privateKey = toPrivateKey(options.peerKey)
  const peer = peerKeyFromId(peerIdFromPrivateKey(privateKey))
  // Refuses the operator's typing errors now; otherwise they would only show as silence later.
  const seeds = bootstrap.map(parsePeerAddress)

  const stopping = new AbortController()
  const { signal } = stopping
  const sessions = new Sessions(peer)
  const pinger = new Pinger()
  const staged = new StagedSockets()
  const strangers = new Strangers(metrics)
  const shared = new SharedPort({ enter: socket => strangers.enter(socket), log, stopping: signal })
  const duplicates = new Duplicates(clock, log)
  const paced = new PacedRegistrar({
    onFull: ({ remotePeer }) =>
      metrics.hit('mesh_gossip_waiting_bytes', { peer: peerKeyFromId(remotePeer), limit: MAX_GOSSIP_WAITING_BYTES }),
    log
  })
  let redialer: Redialer | undefined
  const node = await createNode({
    privateKey,
    mesh: options,
    admission: {
      nodeChain,
      verifyChain,
      onRefused,
      sessions,
      strangers,
      duplicates,
      refusals: new AdmissionLog(log, clock),
      log
    },
    discovery: {
      trustDomain,
      mdns: options.mdns,
      bootstrap: seeds.flatMap(seed => (seed.peer === undefined ? [] : [`${seed.address}/p2p/${seed.peer}`])),
      onSeed: found => redialer?.hint(found, 'seed'),
      onHint: found => redialer?.hint(found, 'hint'),
      log
    },
    pinger,
    staged,
    shared,
    paced
  })
  const connections = new Connections({ node, sessions, log, isStopping: () => signal.aborted })
  redialer = keptConnected({ peer, node, staged, connections, options, signal })
  const found = redialer
  const onDemand = new OnDemand({
    sessions,
    isNeighbour: other => found.isNeighbour(other),
    carriesData: other => connections.carriesData(other),
    close: other => connections.close(other),
    monotonicMs: clock.monotonicMs,
    log,
    signal
  })
  connections.onDisconnect(other => onDemand.gone(other))
  const peerStreams = new PeerStreams({
    ensure: (other, limit) => {
      onDemand.used(other)
      return found.ensure(other, limit)
    },
    openTo: other => connections.openTo(other),
    spokenBy: async other => (await node.peerStore.get(toPeerId(other))).protocols
  })
  const streams = new DataStreams()
  const relay = new RelayService({
    self: peer,
    connected: () => connections.peers(),
    machineOf: other => connections.machineOf(other),
    open: (other, protocol, limit) => peerStreams.openDuplex(other, protocol, limit),
    accept: (stream, middle, via) => streams.acceptRelayed(stream, middle, via),
    stopping: signal,
    log,
    metrics,
    clock
  })
  const requests = new RequestService({
    open: (other, limit) => peerStreams.open(other, REQUESTS, limit),
    onUse: other => onDemand.used(other),
    stopping: signal,
    log,
    metrics,
    clock
  })
  const gossip = new Gossip(node.services.pubsub, trustDomain, { paced, log, clock, metrics })
  const services = { duplicates, onDemand, peerStreams, streams, relay, requests, gossip, pinger, shared }
  return new Libp2pMesh({ peer, node, sessions, connections, redialer, ...services, stopping, options })
}

/** The loop that dials; it is notified of every connection first. */
function keptConnected({
  peer,
  node,
  staged,
  connections,
  options: { bootstrap, fullMeshMembers, onDialFailed, log, clock },
  signal
}: Pick<MeshParts, 'peer' | 'node' | 'connections' | 'options'> & {
  readonly staged: StagedSockets
  readonly signal: AbortSignal
}): Redialer {
  const redialer = new Redialer({
    self: peer,
    reach,
    dial: (reached, expected, limit) => dial({ node, staged }, reached, expected, limit),
    connected: () => connections.peers(),
    isConnected: other => connections.openTo(other) !== undefined,
    fullMeshMembers,
    onFailed: onDialFailed,
    log,
    clock,
    signal
  })
  redialer.hint(bootstrap, 'seed')
  connections.onConnect(other => redialer.onConnect(other))
  connections.onDisconnect(other => redialer.onDisconnect(other))
  connections.onIdentify(addresses => redialer.hint(addresses, 'member'))
  return redialer
}
