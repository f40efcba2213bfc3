import type { KeyObject } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Clock, HostPort, Logger, Metrics } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** One request, one response, each a bounded frame. */
export type MeshProtocol =
  | '/warren/sync/1'
  | '/warren/ack/1'
  | '/warren/ack-relay/1'
  | '/warren/policy/1'
  | '/warren/probe/1'
  | '/warren/renew/1'
  | '/warren/authority/1'
  | '/warren/trust/1'

/** What is gossiped. On the wire the name carries the trust domain. */
export type MeshTopic = 'registry' | 'policy'

/** The answer of the one verifier of certificates, as far as the mesh needs it. */
export type AdmissionVerdict =
  | { readonly ok: true; readonly machine: string; readonly peer: PeerKey }
  | {
      readonly ok: false
      readonly reason: string
      readonly detail: string
      /** The key of a host that was a member and is revoked. If it is who shows the chain, it is told `detail`. */
      readonly peer?: PeerKey
    }

/**
 * What to do with a gossip message: use it and pass it on, at once or, if its author has surely told most others itself,
 * within 100 ms; drop it; or drop it and think worse of the neighbour that passed it.
 */
export type GossipVerdict = 'accept' | 'accept-later' | 'ignore' | 'reject'

/** Must be quick (below 10 ms): it runs before the message is passed on. `from` is the neighbour, not the author. */
export type GossipHandler = (bytes: Uint8Array, from: PeerKey) => GossipVerdict

/** Answers one request. A WarrenError reaches the caller with its code and reason; anything else as INTERNAL. */
export type RequestHandler = (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/** A stream that a third member carries. */
export interface RelayedStream {
  readonly stream: Duplex
  /** Machine name of the third member. */
  readonly via: string
}

/** `peer` is who opened the stream; of a relayed one, who relays it, and `via` is its machine name. */
export type StreamHandler = (duplex: Duplex, peer: PeerKey, via: string | undefined) => void

export interface MeshOptions {
  /** The host's Ed25519 key: its raw 32-byte seed, or the private KeyObject. */
  readonly peerKey: Uint8Array | KeyObject
  readonly trustDomain: string
  /** `host` is an IP address; port 0 picks a free one. */
  readonly listen: HostPort
  /**
   * Names and IP addresses that others are told instead of the listening addresses, best first; the listening port is added. Asked each
   * time. What it returns must be few enough for them.
   */
  readonly advertise?: () => readonly string[]
  /** Looks for and answers agents of this trust domain on the local network. */
  readonly mdns: boolean
  /** Multiaddrs of agents to find the mesh by, best with `/p2p/…`. They are dialled for as long as the mesh runs. */
  readonly bootstrap: readonly string[]
  /** Our certificate chain (DER; node CA first), asked at each admission so that a renewed one is used at once. */
  readonly nodeChain: () => readonly Uint8Array[]
  /** Verifies the chain of a host that wants to talk to us. The PeerId it names must be the one that noise proved. */
  readonly verifyChain: (chain: readonly Uint8Array[]) => AdmissionVerdict
  /** Called when a member that we dialled refuses us, being told that we are revoked. Its word alone: for people. */
  readonly onRefused?: (machine: string, reason: string) => void
  readonly log: Logger
  /** @default nobody takes note */
  readonly metrics?: Metrics
  readonly clock: Clock
}

export interface RequestOptions {
  readonly signal?: AbortSignal
  /** Deadline of the whole exchange, dial included. @default 5_000 */
  readonly timeoutMs?: number
  /** A larger response is refused. At most 2 MB. */
  readonly maxResponseBytes: number
}

export interface HandleOptions {
  /** A larger request is refused before it is held. At most 2 MB. */
  readonly maxRequestBytes: number
  /** A larger response of ours is not sent. At most 2 MB. */
  readonly maxResponseBytes: number
}

/**
 * The hosts of one trust domain, connected. Nobody whom `verify` did not accept appears in any of these methods: a
 * stranger is turned away before the first protocol runs.
 */
export interface Mesh {
  readonly peer: PeerKey
  /** Multiaddrs at which others can reach us, with `/p2p/…`. Empty before `start`. */
  addresses(): string[]
  /** Listens and starts to look for the others. May be called once. PORT_IN_USE, INVALID_OPTION. */
  start(): Promise<void>
  /** Leaves. Idempotent, never throws, takes at most 5 s. */
  stop(): Promise<void>
  /**
   * Gossips `bytes` and returns to how many neighbours it went. 0 is no error: nobody is connected, or the very same
   * bytes were published within the last two minutes. Never the only path of any state. MESSAGE_TOO_LARGE above 64 KB.
   */
  publish(topic: MeshTopic, bytes: Uint8Array): Promise<number>
  /** Peers that `publish` sends to. */
  listening(topic: MeshTopic): PeerKey[]
  /** Sets the one handler of a topic. Before `start`. */
  onGossip(topic: MeshTopic, handler: GossipHandler): void
  /** Whether a connected host answers within the time: its event loop, not its agent. Never dials, never rejects. */
  ping(peer: PeerKey, timeoutMs: number): Promise<boolean>
  /** Sets the one handler of a protocol. Before `start`, or early callers are told that it is not supported. */
  handle(protocol: MeshProtocol, handler: RequestHandler, options: HandleOptions): void
  /**
   * Sends a request and returns the response; dials a known peer if there is no connection.
   *
   * DESTINATION_UNREACHABLE, TIMEOUT, UNSUPPORTED, MESSAGE_TOO_LARGE, LIMIT_EXCEEDED (theirs), the code of the remote
   * handler's WarrenError, or the reason of `signal`.
   */
  request(peer: PeerKey, protocol: MeshProtocol, bytes: Uint8Array, options: RequestOptions): Promise<Uint8Array>
  /**
   * Opens a byte stream to a peer: half-close each way, back-pressure, bounded memory. A stream that was cut fails with
   * a Node error of code ECONNRESET and never ends cleanly. DESTINATION_UNREACHABLE, TIMEOUT.
   */
  openStream(peer: PeerKey, options?: { readonly signal?: AbortSignal }): Promise<Duplex>
  /**
   * As `openStream`, through another member that reaches the peer. That member is not trusted: it can cut the stream and
   * lie about who opened it, so what runs over it must prove both ends and be secret by itself.
   */
  openRelayed(peer: PeerKey, options?: { readonly signal?: AbortSignal }): Promise<RelayedStream>
  /** Sets the taker of streams that peers open. It owns them from then on. */
  onStream(handler: StreamHandler): void
  connected(): PeerKey[]
  /** Streams between two other members that this host joins. */
  relayed(): number
  isConnected(peer: PeerKey): boolean
  /** Machine name of a connected peer, from the certificate it was admitted with. */
  machineOf(peer: PeerKey): string | undefined
  onConnect(listener: (peer: PeerKey, machine: string) => void): void
  onDisconnect(listener: (peer: PeerKey) => void): void
  /** Tells the redial loop of members (multiaddrs with `/p2p/…`), from heads or from disk. Unusable ones are ignored. */
  addHints(multiaddrs: readonly string[]): void
  /** Closes the connection to a peer. A known one will be dialled again: see `forget`. */
  disconnect(peer: PeerKey): Promise<void>
  /** The same without a farewell, for one that does not answer: it is dialled again at once. */
  cutOff(peer: PeerKey): void
  /** Closes the connection and dials this peer no more, until a hint names it again. For evicted hosts. */
  forget(peer: PeerKey): Promise<void>
}
