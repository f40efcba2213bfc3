import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { LocalUser } from '../attest/index.ts'
import type { ErrorCode, HostPort, Protocol } from '../core/index.ts'
import type { Pattern, PeerKey } from '../identity/index.ts'
import type { Decision } from '../policy/index.ts'
import type { Probed, ProbedAgent } from './carriers/index.ts'
import type { AuthorizeQuestion } from './deps.ts'
import type { Drained, DrainOptions } from './drain.ts'
import type { ConnectionEnd, FlowInfo, FlowTotals } from './flow/index.ts'
import type {
  ListenRequest,
  LocalListener,
  PassedListener,
  PassedListenRequest,
  SourceHandle,
  Strategy
} from './outbound/index.ts'
import type { SessionAlarm } from './session-alarms.ts'

export interface ConnectRequest {
  readonly source: SourceHandle
  readonly destination: Pattern
  readonly protocol: Protocol
  /** @default 'balanced' */
  readonly strategy?: Strategy
  /** Begin each connection with a FlowHello. */
  readonly hello: boolean
  /** A connection that is closed before a shutdown for writing is a reset, and no clean end. @default false */
  readonly explicitEnd?: boolean
  readonly signal: AbortSignal
}

export interface ConnectAnswer {
  /** Unix socket of the source's user. Each connection to it is a flow; the same request gets the same socket. */
  readonly path: string
  /** SPIFFE ID of the instance that passed all checks now. */
  readonly spiffeId: string
  readonly helloTimeoutMs: number
}

/** Joins unix sockets of this host to those of other hosts, between proven identities and as the policy allows. */
export interface DataPlane {
  /** Binds the data port. Rejects with PORT_IN_USE, INVALID_OPTION or STATE_UNUSABLE. Must be called once only. */
  readonly start: () => Promise<void>
  /** Cuts every flow and closes everything, within two seconds. Idempotent, never rejects. */
  readonly stop: () => Promise<void>
  /** Where the data port is bound. Throws NOT_READY before `start`. */
  readonly dataAddress: () => HostPort
  /** Takes over a stream that another agent opened to us over the mesh. */
  readonly acceptCarrier: (stream: Duplex, peer: PeerKey, via?: string) => void
  /** Takes over connections to the port of the mesh that are for the data plane. They are served like those to the data port. */
  readonly atMeshPort: {
    readonly takes: (firstByte: number) => boolean
    readonly serve: (socket: Socket, firstByte: number) => void
  }
  /**
   * Makes the connections to the agent `peer` that its request asks for, and returns how many.
   *
   * Throws MESSAGE_MALFORMED, LIMIT_EXCEEDED or DESTINATION_UNREACHABLE.
   */
  readonly connectBack: (peer: PeerKey, request: Uint8Array) => number
  /**
   * Arranges the connection to a third agent that the agent `peer` asks for, and resolves with the answer at the moment at which both
   * must connect.
   *
   * Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED, NOT_FOUND, DESTINATION_UNREACHABLE or TIMEOUT.
   */
  readonly arrange: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /**
   * Tells the agent `peer` from where the datagrams of its data port come, once one has come.
   *
   * Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED or TIMEOUT.
   */
  readonly seen: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /** Follows the invitation of the agent `peer` to such a connection, later. Throws MESSAGE_MALFORMED or LIMIT_EXCEEDED. */
  readonly invited: (peer: PeerKey, request: Uint8Array) => void
  /**
   * Serves the request of the agent `opener` to join connections of its with those of another one, and resolves with how many.
   *
   * Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED, DESTINATION_UNREACHABLE or the refusal of the other agent.
   */
  readonly relay: (opener: PeerKey, request: Uint8Array) => Promise<number>
  /** Makes the connections to the agent `relay` that its request asks for, to be joined there. Returns and throws as `connectBack`. */
  readonly connectToRelay: (relay: PeerKey, request: Uint8Array) => number
  /** Tries every carrier to another agent, whichever may be used, and says how it went. Never rejects. */
  readonly probe: (agent: ProbedAgent, signal: AbortSignal) => Promise<Probed>
  /** A host is connected that was not: ways to it that failed are worth an attempt again. */
  readonly pathAppeared: (machine: string) => void
  /**
   * Performs all checks up to the destination's own socket and then makes a local endpoint for flows to it.
   *
   * Rejects with INVALID_SOURCE, DESTINATION_NOT_FOUND, DESTINATION_UNREACHABLE, CANNOT_CONNECT or UNAUTHORIZED; with
   * LIMIT_EXCEEDED, UNSUPPORTED (an agent that does not carry the protocol) or the signal's reason.
   */
  readonly connect: (request: ConnectRequest) => Promise<ConnectAnswer>
  /**
   * Binds a local listener for unmodified clients, each of which gets a flow. The caller closes it.
   *
   * Rejects with PORT_IN_USE, PERMISSION_DENIED, INVALID_ARGUMENT, UNSUPPORTED (datagrams of a unix socket) or CANNOT_CONNECT.
   */
  readonly listen: (request: ListenRequest) => Promise<LocalListener>
  /**
   * Makes a unix socket that takes one connection of `user`, within a minute, over which the sockets of one listener are passed.
   * Returns its path. Rejects with UNSUPPORTED where descriptors cannot be passed, LIMIT_EXCEEDED or CANNOT_CONNECT.
   */
  readonly preparePassage: (user: LocalUser) => Promise<string>
  /**
   * Makes a listener of the sockets that were passed at the path. The caller closes it.
   *
   * Rejects with NOT_FOUND for a path that is not the user's, INVALID_ARGUMENT for what is no listener of the protocol, TIMEOUT, or
   * the reason of the signal.
   */
  readonly listenOnPassed: (request: PassedListenRequest) => Promise<PassedListener>
  /**
   * Ends the flows and endpoints of a registration of this host, as source and as destination. `code` is the error for
   * a source whose connection is being opened: TIMEOUT if it may register again. @default INVALID_SOURCE
   */
  readonly registrationEnded: (registrationId: string, reason: string, code?: ErrorCode) => void
  /**
   * Verifies every session and flow again, and cuts those no longer allowed before it returns.
   *
   * Must be called after any change of policy, trust, revocations, registry or registrations; `reason` is logged.
   */
  readonly reevaluate: (reason: string) => void
  /** Returns what counts the flows of this moment that are cut by then, by the policy, a lost trust or the end of a registration. */
  readonly countCuts: () => () => number
  /**
   * The flows that `reevaluate` would cut if the policy answered as `authorize` does, and those of registrations of this host for
   * which `endedOf` returns a reason. Changes nothing.
   */
  readonly preview: (
    authorize: (question: AuthorizeQuestion) => Decision,
    endedOf: (registrationId: string) => string | undefined
  ) => FlowCutAhead[]
  /** Continues the flows that the process before has left; call it when its registrations are here. Returns their number. */
  readonly adopt: () => number
  /** Whether these need nothing of the mesh: known once the data plane has started, and false if there are none. */
  readonly canContinueAlone: () => boolean
  /** Resolves when each of these has a path or is over, and after a while without it. Never rejects. */
  readonly carried: () => Promise<void>
  /** Waits for flows to end, resets those that do not, and returns the number of each. Never rejects. */
  readonly drain: (options: DrainOptions) => Promise<Drained>
  /**
   * Makes sessions prove the present certificates of their ends, and cuts those whose proved certificate has ended.
   * Must be called after certificates were renewed; it also runs periodically.
   */
  readonly proveAgain: () => Promise<void>
  readonly flows: () => readonly FlowInfo[]
  /** How a connection of `user` ended. */
  readonly connectionEnd: (user: LocalUser, flowId: string) => ConnectionEnd
  /** Resets a connection of `user`, if it is open. */
  readonly resetConnection: (user: LocalUser, flowId: string) => void
  /** Number of flows, those that are being opened among them. The cost does not depend on the number. */
  readonly flowCount: () => number
  /** Sessions with flows that should have been proved again and were not, in the order in which they will be cut. */
  readonly sessionAlarms: () => readonly SessionAlarm[]
  /** Sessions with other agents, in both directions. */
  readonly sessions: () => number
  /** Present figures, and totals since the start. Costs a look at each flow. */
  readonly totals: () => ProxyTotals
}

/** A flow that a change would cut, with the reason. */
export interface FlowCutAhead {
  readonly flow: FlowInfo
  readonly reason: string
}

/** Figures for metrics. */
export interface ProxyTotals {
  readonly flows: FlowTotals
  /** Counted by role; `client`: this agent opened it. */
  readonly sessions: { readonly client: number; readonly server: number }
  /** Those of them with flows that should have been proved again and were not. */
  readonly unproved: { readonly client: number; readonly server: number }
  readonly endpoints: number
  /** Flows that wait for another path. */
  readonly waiting: number
  /** Pairs of connections of other hosts that are joined here, or wait for one of the two. */
  readonly relayed: number
}
