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
  /** Addresses of its agent for data, "host:port" or "[v6]:port"; best first. */
  readonly dataAddresses: readonly string[]
  readonly health: 'passing' | 'failing' | 'draining'
  /** Reason why it fails, if this agent sees it fail and knows why: one clause that other hosts may read. */
  readonly problem?: string | undefined
  /** Registered with this very agent. */
  readonly local: boolean
  /** Suspicion gossip reports that its host does not answer. Affects routing only: open flows continue. */
  readonly suspect: boolean
  /** Its whole host accepts no more connections. */
  readonly draining: boolean
}

/** The part of the registry that the proxy uses. */
export interface Directory {
  /** Registrations in the set of `destination` that serve `protocol`, healthy or not. */
  readonly candidates: (destination: Pattern, protocol: Protocol) => readonly Candidate[]
  readonly byId: (registrationId: string) => Candidate | undefined
  /** Whether `machine` itself announces that a workload of this address is registered there. */
  readonly sourceAt: (address: Address, machine: string) => boolean
  /** The agent of `machine`, or undefined if `machine` is not a member now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  /** Pulls the registrations of one owner. Bounded in time by the implementation and by `signal`; may reject. */
  readonly refresh: (peer: PeerKey, signal: AbortSignal) => Promise<void>
  /** Called when the agent of a host did not answer, so that the host is checked. */
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

/** Users that may serve the port of one registration, and the socket that does. */
export interface PortServer {
  /**
   * Returns the number, unique to one socket, of the socket that receives data sent to the port now; undefined if there
   * is none. For UDP, `from` is the sender's address.
   *
   * Throws DESTINATION_UNREACHABLE if it is a socket of a user who may not serve the port, or if that is unknown.
   */
  readonly holder: (from?: IpEnd) => bigint | undefined
  /**
   * Whether the connection from `from` to `to`, the addresses at its own end, has its other end on this host as well.
   * Throws DESTINATION_UNREACHABLE if that is unknown.
   */
  readonly meets: (from: IpEnd, to: IpEnd) => boolean
  /** Records, and returns the error for, a port that answers though no socket of this host has it. */
  readonly hidden: () => WarrenError
}

/** Address at which connections to a local registration are delivered. */
export type LocalTarget =
  | {
      readonly kind: 'unix'
      readonly path: string
      /** Process in whose view the socket is at this path. @default the agent, which made the directory for it */
      readonly owner?: Pick<ProcessHandle, 'pid' | 'isAlive'>
      /** Directory that the agent made; without an owner, only a socket in it is used. */
      readonly made?: FileId
      readonly uid: number
      /**
       * View that the server must also be in. @default in any: the process that named the path knows who can write
       * there
       */
      readonly view?: ProcessView
      /**
       * Named by a process outside the host's own namespaces, so no server of the host may be reached through it.
       * @default false
       */
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
      /** Undefined: any process that has the port is accepted as the server. */
      readonly server: PortServer | undefined
    }
  | {
      readonly kind: 'udp'
      readonly host: string
      readonly port: number
      /** Same as for TCP. */
      readonly server: PortServer | undefined
    }

/** The part of the registrations of this host that the proxy uses. */
export interface LocalWorkloads {
  /** Whether the registration exists and its process runs. */
  readonly isAlive: (registrationId: string) => boolean
  /** Rejects with INVALID_SOURCE when there is no such registration. */
  readonly svid: (registrationId: string) => Promise<Credentials>
  readonly target: (registrationId: string) => LocalTarget | undefined
  /** Called when a target did not accept a connection, so that it is checked. */
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

/** Facts from the kernel about the other end of a unix socket. Both throw when they cannot be read. */
export interface SocketCredentials {
  /** Returns the user that connected; also throws when its process has ended. */
  readonly peerUser: (accepted: Socket) => LocalUser
  /** Returns the listener that `connected` is connected to. */
  readonly listenerOf: (connected: Socket) => Listener
}

export interface AuthorizeQuestion {
  readonly source: Address
  readonly destination: Address
  readonly destinationRegistrationId: string
  readonly protocol: Protocol
}

/** Carrier to the other host: `auto`, or the name of the only one to use; `carriers/index.ts` lists them. */
export type CarrierChoice = string

/** Collaborators of the proxy, which the agent provides. */
export interface ProxyDeps {
  readonly trustDomain: string
  /** Name of this host. */
  readonly machine: string
  readonly directory: Directory
  readonly local: LocalWorkloads
  readonly credentials: SocketCredentials
  /** The policy as it is now. A throw denies. */
  readonly authorize: (question: AuthorizeQuestion) => Decision
  /**
   * The only verifier of certificates. Called at each handshake and, while the certificate lasts, at each `reevaluate`.
   */
  readonly verifier: {
    /**
     * `issuersDer`: certificates above the leaf as the other side sent them, without the root; they prove a CA that is
     * not known yet.
     */
    readonly workload: (leafDer: Uint8Array, issuersDer?: readonly Uint8Array[]) => WorkloadVerdict
    /** Whether the host of this leaf has shown a newer CA than the one that signed it. @default never */
    readonly isReplaced?: (leafDer: Uint8Array) => boolean
  }
  /** PEM of the trusted roots. */
  readonly roots: () => readonly string[]
  /** Credentials for a joiner, which knows no registration here. */
  readonly joinCredentials: () => Credentials
  /** Serves one joiner over an established TLS connection; the proxy destroys it afterwards. */
  readonly join: (socket: TLSSocket, signal: AbortSignal) => Promise<void>
  /** Serves one host whose certificate has ended, in the same way. */
  readonly renew: (socket: TLSSocket, signal: AbortSignal) => Promise<void>
  /** Opens a stream to the agent `peer` over the mesh. Rejects when there is no path. */
  readonly openStream: (peer: PeerKey, options: { readonly signal: AbortSignal }) => Promise<Duplex>
  /** Opens the same through a third member, which is trusted only to pass the bytes on. */
  readonly openRelayed: (
    peer: PeerKey,
    options: { readonly signal: AbortSignal }
  ) => Promise<{ readonly stream: Duplex; readonly via: string }>
  readonly carrier: CarrierChoice
  readonly dataListen: { readonly host: string; readonly port: number }
  /** Directory that exists, belongs to the agent and is writable for nobody else. */
  readonly runtimeDir: string
  readonly log: Logger
  /** @default metrics are discarded */
  readonly metrics?: Metrics
  /** @default events are discarded */
  readonly events?: EventSink
  readonly clock: Clock
  readonly limits?: Partial<ProxyLimits>
  /**
   * When a TCP flow gets a fast-path connection. @default after 512 KiB or 64 reads, at once from 16 flows a second on
   */
  readonly upgradeThresholds?: Partial<UpgradeThresholds>
  /** A flow of datagrams ends after this long without one. @default 120_000 */
  readonly udpIdleMs?: number
}
