import type { KeyObject } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Listener, LocalUser } from '../attest/index.ts'
import type { Clock, HostPort, Logger, Metrics, ProcessHandover, Protocol, VersionRange } from '../core/index.ts'
import type { EventSink, ProcessFields } from '../events/index.ts'
import type { Address, Pattern, PeerKey } from '../identity/index.ts'
import type { Decision, UsageLimits } from '../policy/index.ts'
import type { OwnerView, RegistryRecord } from '../registry/index.ts'
import type { Target } from '../workloads/index.ts'
import type { CarrierDeps } from './carriers/index.ts'
import type { Oversize } from './datagram/packet/index.ts'
import type { UpgradeThresholds } from './fastpath/index.ts'
import type { FlowTracer } from './flow/index.ts'
import type { ProxyLimits } from './limits.ts'
import type { PunchDeps } from './punch/index.ts'
import type { RelayDeps } from './relayed/index.ts'
import type { ReverseDeps } from './reverse/index.ts'

/** One registration that may be a destination, as the registry of this host knows it now. */
export interface Candidate
  extends Pick<RegistryRecord, 'registrationId' | 'address' | 'health' | 'labels' | 'weight'>,
    Pick<OwnerView, 'peer' | 'machine' | 'dataAddresses' | 'suspect' | 'draining'> {
  /** Registered with this very agent. */
  readonly local: boolean
  /** Versions of sessions that its agent announces, if it announces any: for errors only. */
  readonly sessionVersions?: VersionRange | undefined
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
  /**
   * Whether another member than `machine` has told this process which policy is in force, or none is known. It matters for flows of
   * the process before. @default it has
   */
  readonly hasHeardBeside?: (machine: string) => boolean
  /** Pulls the registrations of one owner. Bounded in time by the implementation and by `signal`; may reject. */
  readonly refresh: (peer: PeerKey, signal: AbortSignal) => Promise<void>
  /** Called when the agent of a host did not answer, so that the host is checked. */
  readonly unreachable: (peer: PeerKey) => void
}

/** A certificate chain with its key, ready for TLS. */
export interface TlsCredentials {
  /** PEM: leaf first, then its issuers without the root. */
  readonly certPem: string
  readonly key: KeyObject
}

/** The questions of the proxy about the workloads of this host. */
export interface LocalWorkloads {
  /** Whether the registration exists and its process runs. */
  readonly isAlive: (registrationId: string) => boolean
  /** Rejects with INVALID_SOURCE when there is no such registration. */
  readonly svid: (registrationId: string) => Promise<TlsCredentials>
  readonly target: (registrationId: string) => Target | undefined
  /** How much it may be used now. @default as much as the agent allows */
  readonly limitsOf?: (registrationId: string) => UsageLimits
  /** Why a registration fails, if that is known: one clause that other hosts may read. */
  readonly problemOf?: (registrationId: string) => string | undefined
  /** The user of a registration, who may ask how its connections ended. */
  readonly userOf?: (registrationId: string) => LocalUser | undefined
  /** The process of a registration, for the events. @default the events name none */
  readonly processOf?: (registrationId: string) => ProcessFields | undefined
  /** Whether a registration asks for each of its datagrams on two paths. @default none does */
  readonly isMultipath?: (registrationId: string) => boolean
  /** Told that a target did not take a connection, so that it is looked at. */
  readonly targetFailed?: (registrationId: string) => void
  /** Keeps a registration until `release`; undefined if there is none. @default nothing can be kept */
  readonly hold?: (registrationId: string) => (() => void) | undefined
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

/** `auto`, or the name of the only carrier to use; `carriers/index.ts` has them. */
export type CarrierChoice = string

/** Collaborators of the proxy; the agent joins them. */
export interface ProxyDeps extends Omit<CarrierDeps, 'connectBack' | 'punch' | 'relays'> {
  readonly reverse: ReverseDeps
  /** @default no connections between two NATs are made or arranged */
  readonly punch?: PunchDeps
  readonly relaying: RelayDeps
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
  /** The certificates for a joiner, who knows no registration here. */
  readonly joinCredentials: () => TlsCredentials
  /**
   * Serves one joiner over an established TLS connection; the proxy destroys it afterwards. It calls `requireRoom` once it has
   * the request, which throws LIMIT_EXCEEDED if too many are served: the joiner must receive that.
   */
  readonly join: (socket: TLSSocket, signal: AbortSignal, requireRoom: () => void) => Promise<void>
  /** Serves one host whose certificate has ended, in the same way. */
  readonly renew: (socket: TLSSocket, signal: AbortSignal, requireRoom: () => void) => Promise<void>
  /** Called when flows have left a silent path to the agent `peer`: others to it may be silent as well. @default nothing */
  readonly pathLeft?: (peer: PeerKey) => void
  readonly carrier: CarrierChoice
  /** Instances whose label `zone` says the same are preferred to others. @default none */
  readonly zone?: string | undefined
  readonly dataListen: HostPort
  /** Exists, belongs to the agent and is writable for nobody else. */
  readonly runtimeDir: string
  readonly log: Logger
  /**
   * What is known of hosts whose lease has ended without a word. It counts only for flows that wait for another path, and
   * shortly after. @default nothing
   */
  readonly silentHosts?: {
    readonly isSilent: (machine: string) => boolean
    /** As `authorize`, with the last announcement of such a host. */
    readonly authorize: (question: AuthorizeQuestion) => Decision
  }
  /** A flow whose path is lost waits for so long for another; zero: it is reset at once. @default 0 */
  readonly resumeWindowMs?: number
  /** The process before this one, and the next. @default there is none */
  readonly handover?: ProcessHandover | undefined
  /** @default metrics are discarded */
  readonly metrics?: Metrics
  /** @default events are discarded */
  readonly events?: EventSink
  /** @default openings are not traced */
  readonly tracer?: FlowTracer | undefined
  readonly clock: Clock
  readonly limits?: Partial<ProxyLimits>
  /**
   * When a TCP flow gets a fast-path connection. @default after 512 KiB or 64 reads, at once from 16 flows a second on
   */
  readonly upgradeThresholds?: Partial<UpgradeThresholds>
  /** What happens to datagrams that are larger than a packet of the path that carries their flow. @default 'drop' */
  readonly oversize?: Oversize | undefined
  /** A flow of datagrams ends after this long without one. @default 120_000 */
  readonly udpIdleMs?: number
}
