import type { Duplex } from 'node:stream'
import { detach, ErrorCode, type HostPort, raceAbort, WarrenError, within } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Duplicates, OpenSession, Sessions } from './admission/index.ts'
import {
  type Connections,
  closeIfSilent,
  type DataStreams,
  type OnDemand,
  type PeerStreams,
  StreamDuplex
} from './connections/index.ts'
import type { Redialer } from './dialing/index.ts'
import { startFailure, translate } from './failure.ts'
import type { Gossip } from './gossip/gossip.ts'
import { peerKeyFromId } from './keys.ts'
import {
  checkShims,
  localAddressOf,
  type Pinger,
  remoteAddressOf,
  remoteEndOf,
  type SharedPort
} from './libp2p-shims/index.ts'
import { DOUBTED_TIMEOUT_MS, GONE_ADDRESS_TIMEOUT_MS, OPEN_TIMEOUT_MS } from './limits.ts'
import { abortConnections, type MeshNode, stopNode } from './node.ts'
import { DATA, RELAY, RELAYED, REQUESTS } from './protocols.ts'
import type { RelayService } from './relay/index.ts'
import type { RequestService } from './requests/request-service.ts'
import type {
  DuplicateHosts,
  GossipHandler,
  HandleOptions,
  Mesh,
  MeshOptions,
  MeshProtocol,
  MeshTopic,
  PortSharer,
  RelayedStream,
  RequestHandler,
  RequestOptions,
  StreamHandler
} from './types.ts'

/** The services that make up a mesh. */
export interface MeshParts {
  readonly peer: PeerKey
  readonly node: MeshNode
  readonly sessions: Sessions
  readonly duplicates: Duplicates
  readonly connections: Connections
  readonly redialer: Redialer
  readonly onDemand: OnDemand
  readonly streams: DataStreams
  readonly peerStreams: PeerStreams
  readonly relay: RelayService
  readonly requests: RequestService
  readonly gossip: Gossip
  readonly pinger: Pinger
  readonly shared: SharedPort
  readonly stopping: AbortController
  readonly options: MeshOptions
}

/** The services of one host behind one interface: starts and stops them, and passes each call to its service. */
export class Libp2pMesh implements Mesh {
  readonly peer: PeerKey
  readonly #parts: MeshParts
  readonly #listening = Promise.withResolvers<void>()
  #isStarted = false
  #stopped: Promise<void> | undefined

  constructor(parts: MeshParts) {
    this.peer = parts.peer
    this.#parts = parts
  }

  addresses(): string[] {
    return this.#parts.node.getMultiaddrs().map(String)
  }

  async whenListening(): Promise<string[]> {
    await raceAbort(this.#listening.promise, this.#parts.stopping.signal)
    return this.addresses()
  }

  async start(): Promise<void> {
    if (this.#isStarted || this.#stopped !== undefined) {
      throw new WarrenError(ErrorCode.Internal, 'a mesh can be started only once')
    }
    this.#isStarted = true
    const { connections, gossip, node, redialer, onDemand, options } = this.#parts
    await checkShims(options.log)
    connections.watch()
    await this.#serve()
    try {
      await node.start()
      gossip.start()
    } catch (err) {
      await this.stop()
      throw startFailure(err, options.listen)
    }
    this.#listening.resolve()
    redialer.start()
    onDemand.start()
    options.log.info('mesh started', { peer: this.peer, addresses: this.addresses() })
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  abandon(): void {
    if (this.#stopped !== undefined) return
    this.#stopped = Promise.resolve()
    this.#abort()
    if (this.#isStarted) abortConnections(this.#parts.node)
  }

  async #stop(): Promise<void> {
    const { node, options } = this.#parts
    this.#abort()
    if (this.#isStarted) await stopNode(node, options.log)
  }

  #abort(): void {
    const { gossip, stopping } = this.#parts
    gossip.stop()
    stopping.abort(new WarrenError(ErrorCode.NotReady, 'the mesh is stopping'))
  }

  // Set before the node starts; otherwise early peers would be answered that the protocols are not supported.
  async #serve(): Promise<void> {
    const { node, relay, requests, streams } = this.#parts
    await node.handle([...REQUESTS.names], (stream, connection) => requests.serve(stream, connection), REQUESTS.limits)
    await node.handle(
      [...DATA.names],
      (stream, { remotePeer }) => streams.accept(stream, peerKeyFromId(remotePeer)),
      DATA.limits
    )
    await node.handle(
      [...RELAY.names],
      (stream, { remotePeer }) => relay.serve(new StreamDuplex(stream), peerKeyFromId(remotePeer)),
      RELAY.limits
    )
    await node.handle(
      [...RELAYED.names],
      (stream, { remotePeer }) => relay.accept(new StreamDuplex(stream), peerKeyFromId(remotePeer)),
      RELAYED.limits
    )
  }

  duplicates(): DuplicateHosts {
    return this.#parts.duplicates.list()
  }

  publish(topic: MeshTopic, bytes: Uint8Array): Promise<number> {
    return this.#parts.gossip.publish(topic, bytes)
  }

  listening(topic: MeshTopic): PeerKey[] {
    return this.#parts.gossip.listening(topic)
  }

  onGossip(topic: MeshTopic, handler: GossipHandler): void {
    this.#parts.gossip.on(topic, handler)
  }

  handle(protocol: MeshProtocol, handler: RequestHandler, options: HandleOptions): void {
    this.#parts.requests.handle(protocol, handler, options)
  }

  request(peer: PeerKey, protocol: MeshProtocol, bytes: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    return this.#parts.requests.request(peer, protocol, bytes, options)
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

  openStream(peer: PeerKey, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    const { peerStreams } = this.#parts
    return this.#opened('open stream', signal, limit => peerStreams.openDuplex(peer, DATA, limit))
  }

  openRelayed(peer: PeerKey, { signal }: { readonly signal?: AbortSignal } = {}): Promise<RelayedStream> {
    const { relay } = this.#parts
    return this.#opened('open relayed stream', signal, limit => relay.open(peer, limit))
  }

  async #opened<T>(
    what: string,
    signal: AbortSignal | undefined,
    open: (limit: AbortSignal) => Promise<T>
  ): Promise<T> {
    try {
      return await within(OPEN_TIMEOUT_MS, [signal, this.#parts.stopping.signal], open)
    } catch (err) {
      throw translate(err, what, signal)
    }
  }

  onStream(handler: StreamHandler): void {
    this.#parts.streams.onStream(handler)
  }

  sharePort(sharer: PortSharer): void {
    this.#parts.shared.share(sharer)
  }

  connected(): PeerKey[] {
    return this.#parts.connections.peers()
  }

  relayed(): number {
    return this.#parts.relay.size
  }

  isConnected(peer: PeerKey): boolean {
    return this.#parts.connections.openTo(peer) !== undefined
  }

  isNeighbour(peer: PeerKey): boolean {
    return this.#parts.redialer.isNeighbour(peer)
  }

  remoteAddressOf(peer: PeerKey): string | undefined {
    const raw = this.#parts.sessions.rawTo(peer)
    return raw === undefined ? undefined : remoteAddressOf(raw)
  }

  dialledAt(peer: PeerKey): HostPort | undefined {
    const raw = this.#parts.sessions.rawTo(peer)
    return raw?.direction === 'outbound' ? remoteEndOf(raw) : undefined
  }

  machineOf(peer: PeerKey): string | undefined {
    return this.#parts.connections.machineOf(peer)
  }

  onConnect(listener: (peer: PeerKey, machine: string) => void): void {
    this.#parts.connections.onConnect(listener)
  }

  onDisconnect(listener: (peer: PeerKey) => void): void {
    this.#parts.connections.onDisconnect(listener)
  }

  addHints(multiaddrs: readonly string[]): void {
    // An address without a PeerId does not name a member.
    const named = multiaddrs.filter(text => text.includes('/p2p/'))
    this.#parts.redialer.hint(named, 'member')
  }

  networkChanged(gone: readonly string[]): void {
    const { node, sessions, redialer } = this.#parts
    redialer.hurry()
    node.services.discovery.refresh()
    for (const session of sessions.open()) {
      const local = localAddressOf(session.raw)
      if (local !== undefined && gone.includes(local)) this.#check(session, GONE_ADDRESS_TIMEOUT_MS)
    }
  }

  checkConnection(peer: PeerKey): void {
    for (const session of this.#parts.sessions.open()) {
      if (session.peer === peer) this.#check(session, DOUBTED_TIMEOUT_MS)
    }
  }

  #check(session: OpenSession, timeoutMs: number): void {
    const { pinger, stopping, options } = this.#parts
    const deps = { pinger, log: options.log, signal: stopping.signal }
    detach(options.log, 'connection that may be silent', closeIfSilent(session, deps, timeoutMs))
  }

  async disconnect(peer: PeerKey): Promise<void> {
    await this.#parts.connections.close(peer)
  }

  cutOff(peer: PeerKey): void {
    this.#parts.connections.cutOff(peer)
  }

  async forget(peer: PeerKey): Promise<void> {
    this.#parts.redialer.forget(peer)
    // Without a clean close, which the other side could delay.
    this.cutOff(peer)
  }
}
