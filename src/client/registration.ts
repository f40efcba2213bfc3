import type { Logger, WarrenError } from '../core/index.ts'
import type { apiPb, HealthCheckName } from '../wire/index.ts'
import type { AgentClient, AgentClientOptions } from './agent-client.ts'

export interface PortOptions {
  /**
   * The user whose server may have the port, by name or uid, besides root; `any`: no check, as for a port that address
   * translation leads elsewhere. Connections to a server of another user are refused.
   *
   * @default the user who registers; for root, the user whose server is found first
   */
  readonly serverUser?: string | undefined
}

/** Address at which the agent delivers the connections of a registration. */
export type TargetOption =
  | {
      readonly listen: {
        readonly hello?: boolean
        /** With `udp`, each connection carries length-prefixed datagrams. @default 'tcp' */
        readonly protocol?: 'tcp' | 'udp'
        /** With hello: this program ends, at once, a connection whose FlowHello has `probe` set. @default false */
        readonly answersProbes?: boolean
      }
    }
  /** host:port on this host. `proxyProtocol`: begin each connection with a PROXY protocol v2 header. */
  | ({
      readonly tcp: string
      readonly proxyProtocol?: boolean
      /** It is a server of another host, for which the registration stands. An entry must name it. @default false */
      readonly gateway?: boolean
    } & PortOptions)
  /** host:port on this host. Each flow reaches it from a port of its own. */
  | ({ readonly udp: string } & PortOptions)
  /** Path of a unix socket that this user serves. */
  | { readonly unix: string; readonly proxyProtocol?: boolean }

export interface RegisterOptions extends Omit<AgentClientOptions, 'timeoutMs'> {
  /** The client to use. @default the shared one of the runtime directory */
  readonly client?: AgentClient | undefined
  /** Absent: the registration only opens connections. */
  readonly target?: TargetOption | undefined
  /** Source patterns that may connect, in the same scope, without a rule. */
  readonly whitelist?: readonly string[] | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Ports at which clients expect it, the usual one first: `warren dns` listens there. At most 16. @default none */
  readonly ports?: readonly number[] | undefined
  /** Share of new connections against other instances, 0 (only if no other is left) to 1000. @default 100 */
  readonly weight?: number | undefined
  /**
   * Each of its datagrams is sent on two paths to the other host, where there are two, so that what one of them loses costs nothing.
   * With a target, that must be one of UDP.
   *
   * @default false
   */
  readonly multipath?: boolean | undefined
  /**
   * DNS names for its certificates on `spiffe.sock`, for clients that know a server by its name. An entry must name each. At most 16.
   *
   * @default none
   */
  readonly dnsNames?: readonly string[] | undefined
  /** Hosts that must have the registration before `register` resolves. @default 'all' */
  readonly wait?: 'all' | 'quorum' | 'local' | undefined
  /**
   * How the agent checks the target, which others skip while it fails. `auto`, or true: a connection to a TCP or unix address, a
   * question to a listener that answers probes. `off`, or false: not at all. `http`, `http:/PATH`: a status below 400. `grpc`,
   * `grpc:SERVICE`: SERVING of grpc.health.v1. A name that does not fit the target is INVALID_ARGUMENT.
   *
   * @default 'auto'
   */
  readonly healthCheck?: boolean | HealthCheckName | undefined
  /**
   * Connections that may be opened to it in a second, and at once. Further ones wait for up to 1.5 s, each source in turn, and
   * are then refused with LIMIT_EXCEEDED.
   *
   * @default as many as the agent allows
   */
  readonly maxConnects?: number | undefined
  /** Bytes that its connections may carry in a second, both directions together; they wait for their turn. @default no limit */
  readonly maxRate?: number | undefined
  /** The process whose end ends the registration, if not this one. */
  readonly ownerPid?: number | undefined
  /** `spiffe.sock` gives the identity to every process of this user that registered none, and not only to this one. @default false */
  readonly forUser?: boolean | undefined
  /** Name for people. */
  readonly application?: string | undefined
  /** Ends the registration when it aborts. */
  readonly signal?: AbortSignal | undefined
  readonly log?: Logger | undefined
  /**
   * Called after each successful registration, the first one and those after a restart of the agent. If it rejects for
   * the first one, `register` fails; for a later one, the registration is tried again.
   */
  readonly onLive?: ((registration: Registration) => Promise<void>) | undefined
  /** Called when it is `lost`: from now on the agent may have it no more. */
  readonly onLost?: (() => void) | undefined
  /** Called when `problem` of the registration has changed: another user took the port of its server, or gave it back. */
  readonly onProblem?: ((registration: Registration) => void) | undefined
}

/** Reason why a registration ended. */
export interface RegistrationEnd {
  readonly reason: string
  /** Absent if `close` was called. */
  readonly error?: WarrenError
}

/** An address that this process holds until it is closed or the agent no longer grants it. */
export interface Registration extends AsyncDisposable {
  /** Five components. */
  readonly address: string
  readonly spiffeId: string
  /** Hexadecimal. Changes when the agent restarts, as do the token and the path. */
  readonly registrationId: string
  /** Secret: a process of this user that knows it can act as this registration. */
  readonly token: string
  /** Path to bind, if the target is `listen`; else empty. */
  readonly listenPath: string
  readonly replication: apiPb.Replication | undefined
  /** Why connections are refused, as last heard: another user has the port. Empty if nothing is known against it. */
  readonly problem: string
  /** `lost` while the agent is away. */
  readonly state: 'live' | 'lost' | 'closed'
  /** Resolves when it has ended; never rejects. */
  readonly closed: Promise<RegistrationEnd>
  /**
   * Resolves once it is live with another token than `stale`, or was kept over an upgrade just now; rejects with the reason of its end, or the signal's
   * reason.
   */
  renewed(stale: string, signal: AbortSignal): Promise<void>
  /**
   * Deregisters: locally at once, then everywhere. Resolves with the state of replication. Idempotent, never throws.
   */
  close(): Promise<apiPb.Replication | undefined>
}
