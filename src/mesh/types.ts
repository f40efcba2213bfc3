import type { KeyObject } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock, HostPort, Logger, Metrics, ProcessHandover } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** One request, one response, each a bounded frame. */
export type MeshProtocol =
  | '/warren/sync/1'
  | '/warren/ack/1'
  | '/warren/ack-relay/1'
  | '/warren/gather/1'
  | '/warren/question/1'
  | '/warren/answers/1'
  | '/warren/long-ask/1'
  | '/warren/policy/1'
  | '/warren/policy-sets/1'
  | '/warren/probe/1'
  | '/warren/renew/1'
  | '/warren/authority/1'
  | '/warren/trust/1'
  | '/warren/reverse/1'
  | '/warren/punch/1'
  | '/warren/punch-invite/1'
  | '/warren/punch-datagrams/1'
  | '/warren/join-connections/1'
  | '/warren/joined-connections/1'

/** The topics of gossip. On the wire the name includes the trust domain. */
export type MeshTopic = 'registry' | 'policy'

/** The answer of the verifier of certificates, as far as the mesh needs it. */
export type AdmissionVerdict =
  | { readonly ok: true; readonly machine: string; readonly peer: PeerKey }
  | {
      readonly ok: false
      readonly reason: string
      readonly detail: string
      /** The key of a host that was a member and is revoked. If that host shows the chain, it receives `detail`. */
      readonly peer?: PeerKey
    }

/**
 * The action for a gossip message: use it and forward it, at once or, if its author has surely sent it to most others,
 * within 100 ms; drop it; or drop it and lower the score of the neighbour that forwarded it.
 */
export type GossipVerdict = 'accept' | 'accept-later' | 'ignore' | 'reject'

/** Must be quick (below 10 ms): it runs before the message is forwarded. `from` is the neighbour, not the author. */
export type GossipHandler = (bytes: Uint8Array, from: PeerKey) => GossipVerdict

/** Answers one request. A WarrenError reaches the caller with its code and reason; any other error as INTERNAL. */
export type RequestHandler = (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/** A stream that a third member carries. */
export interface RelayedStream {
  readonly stream: Duplex
  /** Machine name of the third member. */
  readonly via: string
}

/** `peer` opened the stream; if a third member relays it, `peer` is that member and `via` its machine name. */
export type StreamHandler = (duplex: Duplex, peer: PeerKey, via: string | undefined) => void

/** Another protocol at the port of the mesh. */
export interface PortSharer {
  /** Whether a connection that begins with this byte is its own. One of libp2p begins with 0x13. */
  readonly takes: (firstByte: number) => boolean
  /** Owns the connection from then on. The byte has not been consumed, and the socket is paused. */
  readonly serve: (socket: Socket, firstByte: number) => void
}

export interface MeshOptions {
  /** The host's Ed25519 key: its raw 32-byte seed, or the private KeyObject. */
  readonly peerKey: Uint8Array | KeyObject
  readonly trustDomain: string
  /** `host` is an IP address; port 0 picks a free one. */
  readonly listen: HostPort
  /**
   * Names and IP addresses that others receive instead of the listening addresses, best first; the listening port is added.
   * Called each time. Must not return more than the others accept.
   */
  readonly advertise?: () => readonly string[]
  /** Looks for agents of this trust domain on the local network, and answers them. */
  readonly mdns: boolean
  /** Multiaddrs of agents that lead to the mesh, best with `/p2p/…`. They are dialled for as long as the mesh runs. */
  readonly bootstrap: readonly string[]
  /** Our certificate chain (DER; node CA first), called at each admission so that a renewed one is used at once. */
  readonly nodeChain: () => readonly Uint8Array[]
  /** Verifies the chain of a host that wants to connect to us. The PeerId in it must be the one that noise proved. */
  readonly verifyChain: (chain: readonly Uint8Array[]) => AdmissionVerdict
  /** From this many known members on, a host keeps connections to some of them only. For tests. @default 64 */
  readonly fullMeshMembers?: number
  /** Called when a member that we dialled refuses us as revoked. Its statement has no proof: use it for people only. */
  readonly onRefused?: (machine: string, reason: string) => void
  /** Called when a host could be reached at none of its addresses; it is dialled again. @default no notification */
  readonly onDialFailed?: (addresses: readonly string[], err: unknown) => void
  /** The process before, which may have left its listener, and the next one, which gets it. @default there is none */
  readonly handover?: ProcessHandover | undefined
  readonly log: Logger
  /** @default no notification */
  readonly metrics?: Metrics
  readonly clock: Clock
}

export interface RequestOptions {
  readonly signal?: AbortSignal
  /** Deadline of the whole exchange, including the dial. @default 5_000 */
  readonly timeoutMs?: number
  /** A larger response is refused. At most 2 MB. */
  readonly maxResponseBytes: number
}

export interface HandleOptions {
  /** A larger request is refused before it is held in memory. At most 2 MB. */
  readonly maxRequestBytes: number
  /** A larger response of ours is not sent. At most 2 MB. */
  readonly maxResponseBytes: number
}

/** The identities that more than one process uses, as far as this host has noticed in the last ten minutes. */
export interface DuplicateHosts {
  /** That of this host. */
  readonly own: boolean
  /** Names of the other hosts. */
  readonly machines: readonly string[]
}

/**
 * The hosts of one trust domain, connected. A host that `verify` did not accept never appears in any of these methods: it
 * is refused before the first protocol runs.
 */
export interface Mesh {
  readonly peer: PeerKey
  /** Multiaddrs at which others can reach us, with `/p2p/…`. Empty before `start`. */
  addresses(): string[]
  /** The same once it has started. Rejects with NOT_READY if it stops first. */
  whenListening(): Promise<string[]>
  /** Listens and starts to look for the others. Call it once. Throws PORT_IN_USE, INVALID_OPTION. */
  start(): Promise<void>
  /** Stops the mesh. Idempotent, never throws, takes at most 5 s. */
  stop(): Promise<void>
  /** Cuts all connections, without a goodbye: this process is about to be replaced. Does nothing after `stop`, nor that after this. */
  abandon(): void
  /**
   * Publishes `bytes` and returns the number of neighbours that they were sent to. 0 is not an error: no host is connected, or
   * the same bytes were published within the last two minutes. Never rely on it as the only path of any state. Throws
   * MESSAGE_TOO_LARGE above 64 KB.
   */
  publish(topic: MeshTopic, bytes: Uint8Array): Promise<number>
  /** Peers that `publish` sends to. */
  listening(topic: MeshTopic): PeerKey[]
  /** Sets the only handler of a topic. Call it before `start`. */
  onGossip(topic: MeshTopic, handler: GossipHandler): void
  /** Whether a connected host answers within the time: tests its event loop, not its agent. Never dials, never rejects. */
  ping(peer: PeerKey, timeoutMs: number): Promise<boolean>
  /** Sets the only handler of a protocol. Call it before `start`, or early callers receive UNSUPPORTED. */
  handle(protocol: MeshProtocol, handler: RequestHandler, options: HandleOptions): void
  /**
   * Sends a request and returns the response; dials a known peer if there is no connection.
   *
   * Throws DESTINATION_UNREACHABLE, TIMEOUT, UNSUPPORTED, MESSAGE_TOO_LARGE, LIMIT_EXCEEDED (the peer's limit), the code of the
   * remote handler's WarrenError, or the reason of `signal`.
   */
  request(peer: PeerKey, protocol: MeshProtocol, bytes: Uint8Array, options: RequestOptions): Promise<Uint8Array>
  /**
   * Opens a byte stream to a peer: half-close in each direction, back-pressure, bounded memory. A stream that was cut fails
   * with a Node error of code ECONNRESET and never ends cleanly. Throws DESTINATION_UNREACHABLE, TIMEOUT.
   */
  openStream(peer: PeerKey, options?: { readonly signal?: AbortSignal }): Promise<Duplex>
  /**
   * Like `openStream`, through another member that reaches the peer. That member is not trusted: it can cut the stream and
   * lie about who opened it, so the protocol above it must authenticate both ends and encrypt.
   */
  openRelayed(peer: PeerKey, options?: { readonly signal?: AbortSignal }): Promise<RelayedStream>
  /** Sets the handler of streams that peers open. The handler owns them from then on. */
  onStream(handler: StreamHandler): void
  /** Hands the connections to the port of the mesh that are not of libp2p to another protocol. */
  sharePort(sharer: PortSharer): void
  connected(): PeerKey[]
  /** The hosts whose identity more than one process uses: they take each other's place all the time. */
  duplicates(): DuplicateHosts
  /** Streams between two other members that this host joins. */
  relayed(): number
  isConnected(peer: PeerKey): boolean
  /** Whether a connection to this host is kept without a use: to all in a small mesh, to some neighbours in a large one. */
  isNeighbour(peer: PeerKey): boolean
  /**
   * IP address of a connected peer, as this host sees it: the peer has proved its key there. Undefined if there is no connection, or
   * only one through others.
   */
  remoteAddressOf(peer: PeerKey): string | undefined
  /** Where this host has dialled a connected peer. Undefined if the peer has dialled this host, or is not connected. */
  dialledAt(peer: PeerKey): HostPort | undefined
  /** Machine name of a connected peer, from the certificate it was admitted with. */
  machineOf(peer: PeerKey): string | undefined
  onConnect(listener: (peer: PeerKey, machine: string) => void): void
  onDisconnect(listener: (peer: PeerKey) => void): void
  /** Adds addresses of members (multiaddrs with `/p2p/…`), from heads or from disk, to dial. Unusable ones are ignored. */
  addHints(multiaddrs: readonly string[]): void
  /**
   * The machine has another network: tries hosts that could not be reached, and closes connections over the addresses in `gone`
   * that no longer answer.
   */
  networkChanged(gone: readonly string[]): void
  /** Closes the connection to a peer, which is then dialled again, unless it answers soon. */
  checkConnection(peer: PeerKey): void
  /** Closes the connection to a peer. A known peer is dialled again: see `forget`. */
  disconnect(peer: PeerKey): Promise<void>
  /** Closes at once, without waiting for a peer that does not answer. The peer is dialled again at once. */
  cutOff(peer: PeerKey): void
  /** Closes the connection and does not dial this peer again, until a hint names it. For evicted hosts. */
  forget(peer: PeerKey): Promise<void>
}
