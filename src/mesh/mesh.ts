import type { Duplex } from 'node:stream'
import type { Connection, IdentifyResult, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ErrorCode, silentMetrics, sleep, WarrenError, within } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { AdmissionLog } from './admission/admission-log.ts'
import { Sessions } from './admission/session.ts'
import { dialAddress, parsePeerAddress } from './dialing/addresses.ts'
import { Pinger } from './dialing/pinger.ts'
import { Redialer } from './dialing/redialer.ts'
import { startFailure, translate } from './failure.ts'
import { Gossip } from './gossip/gossip.ts'
import { peerKeyFromId, toPeerId, toPrivateKey } from './keys.ts'
import {
  CLOSE_TIMEOUT_MS,
  DIAL_POLL_MS,
  MAX_CARRIERS_PER_PEER,
  MAX_RELAYED_PER_PEER,
  MAX_REQUEST_STREAMS,
  OPEN_TIMEOUT_MS,
  RELAY_JOIN_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
  STOP_TIMEOUT_MS
} from './limits.ts'
import { createNode, type MeshNode } from './node.ts'
import { RelayFinder } from './relay/relay-finder.ts'
import { RELAY_PROTOCOL, RELAYED_PROTOCOL, readKey } from './relay/relay-hello.ts'
import { RelayServer } from './relay/relay-server.ts'
import { RequestStreams } from './requests/request-streams.ts'
import { RequestServer } from './requests/requests.ts'
import { StreamDuplex } from './stream-duplex.ts'
import type {
  GossipHandler,
  HandleOptions,
  Mesh,
  MeshOptions,
  MeshProtocol,
  MeshTopic,
  RelayedStream,
  RequestHandler,
  RequestOptions,
  StreamHandler
} from './types.ts'

const DATA_PROTOCOL = '/warren/data/1'
const REQUEST_PROTOCOL = '/warren/request/1'

// Over a relay too: the mesh must work where nothing but a relay does.
const CARRIER_STREAMS = {
  maxInboundStreams: MAX_CARRIERS_PER_PEER,
  maxOutboundStreams: MAX_CARRIERS_PER_PEER,
  runOnLimitedConnection: true
}
// Twice what is served, so that one too many is told so, and not just reset.
const RELAY_STREAMS = {
  maxInboundStreams: 2 * MAX_RELAYED_PER_PEER,
  maxOutboundStreams: 2 * MAX_RELAYED_PER_PEER,
  runOnLimitedConnection: true
}
const REQUEST_STREAMS = {
  maxInboundStreams: MAX_REQUEST_STREAMS,
  maxOutboundStreams: MAX_REQUEST_STREAMS,
  runOnLimitedConnection: true
}

type StreamLimits = typeof CARRIER_STREAMS

/** Makes the mesh of one host, not started: set the handlers first. INVALID_ARGUMENT, INVALID_OPTION. */
export async function createMesh(options: MeshOptions): Promise<Mesh> {
  const privateKey = toPrivateKey(options.peerKey)
  const peer = peerKeyFromId(peerIdFromPrivateKey(privateKey))
  const sessions = new Sessions(peer)
  const refusals = new AdmissionLog(options.log, options.clock)
  const { nodeChain, judge, trustDomain, bootstrap, log } = options
  // Refuses what the operator mistyped now, and not by silence later.
  const seeds = bootstrap.map(parsePeerAddress)

  const pinger = new Pinger()
  let redialer: Redialer | undefined
  const node = await createNode({
    privateKey,
    mesh: options,
    admission: { nodeChain, judge, onRefused: options.onRefused, sessions, refusals, log },
    discovery: {
      trustDomain,
      mdns: options.mdns,
      bootstrap: seeds.flatMap(seed => (seed.peer === undefined ? [] : [`${seed.address}/p2p/${seed.peer}`])),
      onSeed: found => redialer?.hint(found, 'seed'),
      onRumour: found => redialer?.hint(found, 'rumour')
    },
    pinger
  })
  const stopping = new AbortController()
  redialer = new Redialer({
    self: peer,
    dial: async (address, expected, signal) => {
      const target = dialAddress(address, expected)
      await dialSettled(node, expected, target.toString(), signal)
      const connection = await node.dial(target, { signal })
      return peerKeyFromId(connection.remotePeer)
    },
    connected: () => connectedPeers(node),
    isConnected: other => openConnection(node, other) !== undefined,
    log,
    clock: options.clock,
    signal: stopping.signal
  })
  redialer.hint(bootstrap, 'seed')
  return new Libp2pMesh({ peer, node, redialer, sessions, pinger, stopping, options })
}

function connectedPeers(node: MeshNode): PeerKey[] {
  // Not `getPeers`: it makes an id of each peer's text anew.
  return [...new Set(node.getConnections().map(({ remotePeer }) => peerKeyFromId(remotePeer)))]
}

/**
 * Resolves once libp2p has no dial to that host in hand.
 *
 * A new one would be joined to it, and fail with it: an address that timed out would take the next one down too.
 */
async function dialSettled(node: MeshNode, peer: PeerKey | undefined, address: string, signal: AbortSignal) {
  const pending = (): boolean =>
    node.getDialQueue().some(dial => {
      if (peer !== undefined) return dial.peerId?.toString() === peer
      return dial.multiaddrs.some(other => other.toString() === address)
    })
  while (pending()) await sleep(DIAL_POLL_MS, signal)
}

function openConnection(node: MeshNode, peer: PeerKey): Connection | undefined {
  return node.getConnections(toPeerId(peer)).find(connection => connection.status === 'open')
}

type State = 'made' | 'started' | 'stopped'

interface Parts {
  readonly peer: PeerKey
  readonly node: MeshNode
  readonly redialer: Redialer
  readonly sessions: Sessions
  readonly pinger: Pinger
  readonly stopping: AbortController
  readonly options: MeshOptions
}

class Libp2pMesh implements Mesh {
  readonly peer: PeerKey
  readonly #parts: Parts
  readonly #gossip: Gossip
  readonly #server: RequestServer
  readonly #requests: RequestStreams
  readonly #relay: RelayServer
  readonly #finder: RelayFinder
  readonly #onConnect: Array<(peer: PeerKey, machine: string) => void> = []
  readonly #onDisconnect: Array<(peer: PeerKey) => void> = []
  #onStream: StreamHandler | undefined
  #state: State = 'made'
  #stopped: Promise<void> | undefined

  constructor(parts: Parts) {
    const { node, stopping, options } = parts
    this.peer = parts.peer
    this.#parts = parts
    const { metrics = silentMetrics } = options
    this.#gossip = new Gossip(node.services.pubsub, options.trustDomain, {
      log: options.log,
      clock: options.clock,
      metrics
    })
    this.#server = new RequestServer({ log: options.log, clock: options.clock, metrics }, stopping.signal)
    this.#requests = new RequestStreams((peer, signal) =>
      this.#newStream(peer, REQUEST_PROTOCOL, REQUEST_STREAMS, signal)
    )
    const machineOf = (peer: PeerKey): string | undefined => this.machineOf(peer)
    const open = (protocol: string) => async (peer: PeerKey, signal: AbortSignal) =>
      new StreamDuplex(await this.#newStream(peer, protocol, RELAY_STREAMS, signal))
    this.#relay = new RelayServer({
      self: parts.peer,
      open: open(RELAYED_PROTOCOL),
      machineOf,
      log: options.log,
      metrics,
      clock: options.clock,
      stopping: stopping.signal
    })
    this.#finder = new RelayFinder({ connected: () => this.connected(), machineOf, open: open(RELAY_PROTOCOL) })
  }

  addresses(): string[] {
    return this.#parts.node.getMultiaddrs().map(String)
  }

  async start(): Promise<void> {
    if (this.#state !== 'made') throw new WarrenError(ErrorCode.Internal, 'a mesh is started once')
    this.#state = 'started'
    const { node, redialer, options } = this.#parts
    node.addEventListener('peer:connect', event => this.#connected(event.detail))
    node.addEventListener('peer:disconnect', event => this.#disconnected(event.detail))
    node.addEventListener('peer:identify', event => this.#identified(event.detail))
    await node.handle(REQUEST_PROTOCOL, (stream, connection) => this.#server.serve(stream, connection), REQUEST_STREAMS)
    await node.handle(DATA_PROTOCOL, (stream, connection) => this.#accept(stream, connection), CARRIER_STREAMS)
    await node.handle(
      RELAY_PROTOCOL,
      (stream, { remotePeer }) => this.#relay.serve(new StreamDuplex(stream), peerKeyFromId(remotePeer)),
      RELAY_STREAMS
    )
    await node.handle(
      RELAYED_PROTOCOL,
      (stream, { remotePeer }) => this.#acceptRelayed(new StreamDuplex(stream), peerKeyFromId(remotePeer)),
      RELAY_STREAMS
    )
    try {
      await node.start()
    } catch (err) {
      await this.stop()
      throw startFailure(err, options.listen)
    }
    this.#gossip.subscribe()
    redialer.start()
    options.log.info('mesh started', { peer: this.peer, addresses: this.addresses() })
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    const { node, stopping, options } = this.#parts
    const wasStarted = this.#state === 'started'
    this.#state = 'stopped'
    stopping.abort(new WarrenError(ErrorCode.NotReady, 'the mesh is stopping'))
    this.#requests.stop()
    if (!wasStarted) return
    // libp2p's own stop has been seen to hang.
    const settled = Promise.withResolvers<'stopped' | 'late'>()
    const timer = setTimeout(() => settled.resolve('late'), STOP_TIMEOUT_MS)
    Promise.resolve(node.stop()).then(
      () => settled.resolve('stopped'),
      (err: unknown) => {
        options.log.warn('mesh did not stop cleanly', { err })
        settled.resolve('late')
      }
    )
    if ((await settled.promise) === 'late') {
      options.log.warn('mesh cut off', { peer: this.peer })
      for (const connection of node.getConnections()) connection.abort(new Error('the mesh has stopped'))
    }
    clearTimeout(timer)
  }

  publish(topic: MeshTopic, bytes: Uint8Array): Promise<number> {
    return this.#gossip.publish(topic, bytes)
  }

  listening(topic: MeshTopic): PeerKey[] {
    return this.#gossip.listening(topic)
  }

  onGossip(topic: MeshTopic, handler: GossipHandler): void {
    this.#gossip.on(topic, handler)
  }

  handle(protocol: MeshProtocol, handler: RequestHandler, options: HandleOptions): void {
    this.#server.handle(protocol, handler, options)
  }

  async request(
    peer: PeerKey,
    protocol: MeshProtocol,
    bytes: Uint8Array,
    { signal, timeoutMs = REQUEST_TIMEOUT_MS, maxResponseBytes }: RequestOptions
  ): Promise<Uint8Array> {
    const { stopping } = this.#parts
    try {
      return await within(timeoutMs, [signal, stopping.signal], limit =>
        this.#requests.ask(peer, protocol, bytes, maxResponseBytes, limit)
      )
    } catch (err) {
      throw translate(err, `request ${protocol}`, signal)
    }
  }

  async ping(peer: PeerKey, timeoutMs: number): Promise<boolean> {
    const { sessions, pinger, stopping } = this.#parts
    const connection = sessions.securedTo(peer)
    if (connection === undefined) return false
    try {
      await within(timeoutMs, [stopping.signal], limit => pinger.ping(connection, limit))
      return true
    } catch {
      return false
    }
  }

  async openStream(peer: PeerKey, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    const { stopping } = this.#parts
    try {
      return await within(OPEN_TIMEOUT_MS, [signal, stopping.signal], async limit => {
        return new StreamDuplex(await this.#newStream(peer, DATA_PROTOCOL, CARRIER_STREAMS, limit))
      })
    } catch (err) {
      throw translate(err, 'open stream', signal)
    }
  }

  async openRelayed(peer: PeerKey, { signal }: { readonly signal?: AbortSignal } = {}): Promise<RelayedStream> {
    const { stopping } = this.#parts
    try {
      return await within(OPEN_TIMEOUT_MS, [signal, stopping.signal], limit => this.#finder.open(peer, limit))
    } catch (err) {
      throw translate(err, 'open relayed stream', signal)
    }
  }

  onStream(handler: StreamHandler): void {
    this.#onStream = handler
  }

  connected(): PeerKey[] {
    return connectedPeers(this.#parts.node)
  }

  relayed(): number {
    return this.#relay.size
  }

  isConnected(peer: PeerKey): boolean {
    return openConnection(this.#parts.node, peer) !== undefined
  }

  machineOf(peer: PeerKey): string | undefined {
    return this.#parts.sessions.machineOf(peer)
  }

  onConnect(listener: (peer: PeerKey, machine: string) => void): void {
    this.#onConnect.push(listener)
  }

  onDisconnect(listener: (peer: PeerKey) => void): void {
    this.#onDisconnect.push(listener)
  }

  addHints(multiaddrs: readonly string[]): void {
    // Without the PeerId there would be nobody to be a member.
    this.#parts.redialer.hint(
      multiaddrs.filter(text => text.includes('/p2p/')),
      'member'
    )
  }

  async disconnect(peer: PeerKey): Promise<void> {
    const { node } = this.#parts
    await within(CLOSE_TIMEOUT_MS, [], signal => node.hangUp(toPeerId(peer), { signal })).catch(() => {})
    // hangUp gives up on its deadline; an evicted host must not stay for that.
    this.cutOff(peer)
  }

  cutOff(peer: PeerKey): void {
    for (const connection of this.#parts.node.getConnections(toPeerId(peer))) connection.abort(new Error('cut off'))
  }

  async forget(peer: PeerKey): Promise<void> {
    this.#parts.redialer.forget(peer)
    // Without a farewell, which the other side could draw out.
    this.cutOff(peer)
  }

  async #newStream(peer: PeerKey, protocol: string, limits: StreamLimits, signal: AbortSignal): Promise<Stream> {
    const { node, redialer } = this.#parts
    await redialer.ensure(peer, signal)
    const connection = openConnection(node, peer)
    if (connection === undefined) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `no connection to ${peer}`)
    }
    const stream = await connection.newStream(protocol, { ...limits, signal })
    // Above the peer's limit, the stream is handed out already reset, without an error.
    if (stream.status !== 'open') {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `the peer refused a stream for ${protocol}`)
    }
    return stream
  }

  #accept(stream: Stream, connection: Connection): void {
    if (this.#onStream === undefined) {
      stream.abort(new WarrenError(ErrorCode.NotReady, 'nothing takes streams'))
      return
    }
    this.#onStream(new StreamDuplex(stream), peerKeyFromId(connection.remotePeer), undefined)
  }

  async #acceptRelayed(duplex: Duplex, relay: PeerKey): Promise<void> {
    const { options, stopping } = this.#parts
    duplex.on('error', () => {})
    try {
      const opener = await within(RELAY_JOIN_TIMEOUT_MS, [stopping.signal], limit => readKey(duplex, limit))
      const via = this.machineOf(relay)
      if (this.#onStream === undefined || via === undefined) throw new WarrenError(ErrorCode.NotReady, 'not serving')
      options.log.debug('relayed stream', { peer: opener, machine: via })
      this.#onStream(duplex, relay, via)
    } catch (err) {
      options.log.debug('relayed stream dropped', { peer: relay, err })
      duplex.destroy()
    }
  }

  #connected(id: PeerId): void {
    const { redialer, sessions, options } = this.#parts
    const peer = peerKeyFromId(id)
    const machine = sessions.machineOf(peer)
    // The connection has gone before its arrival was told; its departure will be told too.
    if (machine === undefined) return
    redialer.onConnect(peer)
    options.log.info('host connected', { peer, machine })
    this.#tell(this.#onConnect, listener => listener(peer, machine))
  }

  #disconnected(id: PeerId): void {
    const { redialer, options } = this.#parts
    const peer = peerKeyFromId(id)
    if (this.#state === 'started') options.log.info('host disconnected', { peer })
    redialer.onDisconnect(peer)
    this.#tell(this.#onDisconnect, listener => listener(peer))
  }

  /** An admitted host says where it listens. */
  #identified({ peerId, listenAddrs }: IdentifyResult): void {
    const peer = peerKeyFromId(peerId)
    const addresses = listenAddrs.slice(0, 16).map(address => address.toString())
    this.#parts.redialer.hint(
      addresses.map(address => (address.includes('/p2p/') ? address : `${address}/p2p/${peer}`)),
      'member'
    )
  }

  #tell<Listener>(listeners: readonly Listener[], call: (listener: Listener) => void): void {
    for (const listener of listeners) {
      try {
        call(listener)
      } catch (err) {
        this.#parts.options.log.error('mesh listener failed', { err })
      }
    }
  }
}
