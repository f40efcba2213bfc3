import type { KeyObject } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { FileId, Listener, LocalUser, ProcessHandle, ProcessView } from '../attest/index.ts'
import type { Clock, Logger, Metrics, WarrenError } from '../core/index.ts'
import type { EventSink } from '../events/index.ts'
import type { Address, Pattern, PeerKey } from '../identity/index.ts'
import type { Decision, Protocol } from '../policy/index.ts'
import type { UpgradeThresholds } from './fastpath/index.ts'
import type { ProxyLimits } from './limits.ts'

/** One registration that may be a destination, as the registry of this host knows it now. */
export interface Candidate {
  /** 64 hex characters. */
  readonly registrationId: string
  readonly address: Address
  readonly machine: string
  readonly peer: PeerKey
  /** Where its agent listens for data, "host:port" or "[v6]:port"; best first. */
  readonly dataAddresses: readonly string[]
  readonly health: 'passing' | 'failing' | 'draining'
  /** Why it fails, if it does so here and that is known: one clause that other hosts may read. */
  readonly problem?: string | undefined
  /** Registered with this very agent. */
  readonly local: boolean
  /** Suspicion gossip says that its host is gone. Routing only: its flows live on. */
  readonly suspect: boolean
  /** Its whole host takes no more connections. */
  readonly draining: boolean
}

/** What the proxy asks of the registry. */
export interface Directory {
  /** Registrations in the set of `destination` that serve `protocol`, healthy or not. */
  readonly candidates: (destination: Pattern, protocol: Protocol) => readonly Candidate[]
  readonly byId: (registrationId: string) => Candidate | undefined
  /** Whether `machine` itself says that a workload of this address is registered there. */
  readonly sourceAt: (address: Address, machine: string) => boolean
  /** The agent of `machine`, or undefined if that is no member now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  /** Pulls the set of one owner. Bounded in time by the implementation and by `signal`; may reject. */
  readonly refresh: (peer: PeerKey, signal: AbortSignal) => Promise<void>
  /** Told that the agent of a host did not answer, so that the host is looked at. */
  readonly unreachable: (peer: PeerKey) => void
}

/** A certificate chain with its key, ready for TLS. */
export interface Credentials {
  /** PEM: leaf first, then its issuers without the root. */
  readonly certPem: string
  readonly key: KeyObject
}

/** One end of a connection over IP; the address is literal. */
export interface IpEnd {
  readonly host: string
  readonly port: number
}

/** Who may serve the port of one registration, and who does. */
export interface PortServer {
  /**
   * The socket that gets what is sent to the port now, by a number that no other socket has; undefined if there is none.
   * `from` is where it is sent from, for UDP.
   *
   * Throws DESTINATION_UNREACHABLE when it is a socket of a user who may not serve the port, or it cannot be told.
   */
  readonly holder: (from?: IpEnd) => bigint | undefined
  /**
   * Whether the connection from `from` to `to`, the addresses that its own end has, has its other end on this host as well.
   * Throws DESTINATION_UNREACHABLE when it cannot be told.
   */
  readonly meets: (from: IpEnd, to: IpEnd) => boolean
  /** The error for a port with a listener that lives, past which a connection was led, of which note is taken. */
  readonly bypassed: () => WarrenError
  /** The error for a port that answers though no socket of this host has it, of which note is taken. */
  readonly hidden: () => WarrenError
}

/** Where connections to a local registration are delivered. */
export type LocalTarget =
  | {
      readonly kind: 'unix'
      readonly path: string
      /** The process that sees the socket at this path. @default the agent, which made the directory for it */
      readonly owner?: Pick<ProcessHandle, 'pid' | 'isAlive'>
      /** The directory of the agent's making; without an owner, no other is served from. */
      readonly made?: FileId
      readonly uid: number
      /** Whoever serves must also be in this view. @default in any: whoever named the path knows who can write there */
      readonly view?: ProcessView
      /** Named by a process that is not of the host, so that no server of the host may be reached by it. @default false */
      readonly outside?: boolean
      readonly hello: boolean
      /** With `udp`, each connection carries length-prefixed datagrams. */
      readonly protocol: Protocol
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
    }
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      /** Begin each connection with a PROXY protocol v2 header. */
      readonly proxy?: boolean
      /** Undefined: whoever has the port is taken for the server. */
      readonly server: PortServer | undefined
    }
  | {
      readonly kind: 'udp'
      readonly host: string
      readonly port: number
      /** As for TCP. */
      readonly server: PortServer | undefined
    }

/** What the proxy asks of the workloads of this host. */
export interface LocalWorkloads {
  /** Whether the registration exists and its process runs. */
  readonly isAlive: (registrationId: string) => boolean
  /** Rejects with INVALID_SOURCE when there is no such registration. */
  readonly svid: (registrationId: string) => Promise<Credentials>
  readonly target: (registrationId: string) => LocalTarget | undefined
  /** Told that a target did not take a connection, so that it is looked at. */
  readonly targetFailed?: (registrationId: string) => void
  /** The registration whose id begins with these 32 hex characters. */
  readonly byPrefix: (prefix: string) => string | undefined
}

/** The identity that a workload certificate proved. */
export interface ProvenWorkload {
  readonly spiffeId: string
  readonly address: Address
  readonly machine: string
  readonly notAfterMs: number
}

export type WorkloadVerdict =
  | { readonly ok: true; readonly identity: ProvenWorkload }
  | { readonly ok: false; readonly reason: string; readonly detail: string }

/** What the kernel says about the other end of a unix socket. Both throw when it cannot be read. */
export interface SocketCredentials {
  /** The user that connected; also throws when its process has ended. */
  readonly peerUser: (accepted: Socket) => LocalUser
  /** Who listens where `connected` is connected to. */
  readonly listenerOf: (connected: Socket) => Listener
}

export interface AuthorizeQuestion {
  readonly source: Address
  readonly destination: Address
  readonly destinationRegistrationId: string
  readonly protocol: Protocol
}

/** How bytes reach the other host. */
/** `auto`, or the name of the only carrier to use; `carriers/index.ts` has them. */
export type CarrierChoice = string

/** Collaborators of the proxy; the agent joins them. */
export interface ProxyDeps {
  readonly trustDomain: string
  /** Name of this host. */
  readonly machine: string
  readonly directory: Directory
  readonly local: LocalWorkloads
  readonly credentials: SocketCredentials
  /** The policy as it is now. A throw denies. */
  readonly authorize: (question: AuthorizeQuestion) => Decision
  /** The one verifier of certificates. Asked at each handshake and, while the certificate lasts, at each `reevaluate`. */
  readonly verifier: {
    /** `issuersDer`: the certificates above the leaf as the other side showed them, without the root; they prove a CA not known yet. */
    readonly workload: (leafDer: Uint8Array, issuersDer?: readonly Uint8Array[]) => WorkloadVerdict
    /** Whether the host of this leaf has shown a newer CA than the one that signed it. @default as if it never had */
    readonly isReplaced?: (leafDer: Uint8Array) => boolean
  }
  /** PEM of the trusted roots. */
  readonly roots: () => readonly string[]
  /** What is shown to a joiner, who knows no registration here. */
  readonly joinCredentials: () => Credentials
  /** Serves one joiner over an established TLS connection; the proxy destroys it afterwards. */
  readonly join: (socket: TLSSocket, signal: AbortSignal) => Promise<void>
  /** Serves one host whose certificate has ended in the same way. */
  readonly renew: (socket: TLSSocket, signal: AbortSignal) => Promise<void>
  /** A stream to the agent `peer` over the mesh. Rejects when there is no way. */
  readonly openStream: (peer: PeerKey, options: { readonly signal: AbortSignal }) => Promise<Duplex>
  /** The same through a third member, of which nothing is expected but that it passes the bytes on. */
  readonly openRelayed: (
    peer: PeerKey,
    options: { readonly signal: AbortSignal }
  ) => Promise<{ readonly stream: Duplex; readonly via: string }>
  readonly carrier: CarrierChoice
  readonly dataListen: { readonly host: string; readonly port: number }
  /** Exists, belongs to the agent and is writable for nobody else. */
  readonly runtimeDir: string
  readonly log: Logger
  /** @default nobody takes note */
  readonly metrics?: Metrics
  /** @default nobody listens */
  readonly events?: EventSink
  readonly clock: Clock
  readonly limits?: Partial<ProxyLimits>
  /** When a flow of TCP gets a fast-path connection. @default after 512 KiB or 64 reads, at once from 16 flows a second on */
  readonly upgradeThresholds?: Partial<UpgradeThresholds>
  /** A flow of datagrams ends after this long without one. @default 120_000 */
  readonly udpIdleMs?: number
}
