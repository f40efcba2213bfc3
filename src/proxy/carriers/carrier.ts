import type { Candidate } from '../deps.ts'
import type { Pauses } from '../path-memory.ts'
import type { Dialled, DialOptions } from '../tls/index.ts'

/** Uses of a path beside its session. */
export interface Allowed {
  /** TCP connections from one agent to the other for single flows. */
  readonly fastPath: boolean
  /** UDP packets to the remote address of the session's own connection. */
  readonly datagrams: boolean
  /** The question which host this is. */
  readonly identification: boolean
  /** Exchanges with hosts that are not members: those that join, and those whose certificate has ended. */
  readonly unauthenticated: boolean
}

/** The path of one session. */
export interface Path {
  /** Name for people and logs: `direct`, `relay via b`. */
  readonly name: string
  readonly allows: Allowed
}

/** A session that was opened, and its path. */
export interface Carried extends Dialled {
  readonly path: Path
}

/** One thing that shows whether a carrier reaches an agent now. */
export interface Probe {
  /** The part of the agent that is tried, if a carrier tries several. */
  readonly address?: string
  /**
   * Resolves with the name of the path that a session would take, once that agent has proved itself. Rejects when it does not, with
   * the reason for people; it honours the signal.
   */
  readonly run: (signal: AbortSignal) => Promise<string>
}

/** The agent that a probe is for. */
export type ProbedAgent = Pick<Candidate, 'machine' | 'peer' | 'dataAddresses'>

/**
 * One method to open sessions to another agent. Each is a file of this folder and a line in its index.
 *
 * A carrier transports TLS between two workloads: it is trusted only to pass bytes on.
 */
export interface Carrier {
  /** Name as in `--carrier`. */
  readonly name: string
  /**
   * The carrier with the lowest rank that can reach an agent is used; a better one is tried while a worse one carries.
   */
  readonly rank: number
  /** Pause before it is used again for a host, after it failed there. */
  readonly backoff: Pauses
  /** Whether a flow that has no other path tries it even during its pause. */
  readonly isLastResort: boolean
  /** A third host carries its bytes: a flow looks for a better path even where this one is fast. @default false */
  readonly isDetour?: boolean
  /** It may well fail, so that the next carrier is tried at the same time. @default false */
  readonly beginsWithNext?: boolean
  /** Uses that it allows on every path that it makes. */
  readonly allows: Allowed
  /**
   * Notes that the path of this session does not answer, so that other ones of the carrier are tried before it. Returns whether
   * there are any. @default the carrier has one path to an agent
   */
  readonly avoid?: (candidate: Candidate, made: Dialled) => boolean
  /** Whether a dial may succeed, as far as is known without one. */
  readonly canReach: (candidate: Candidate) => boolean
  /** When its probes are made: those that ask other agents for work are made only if the answer may be of use. */
  readonly probedIf: 'always' | 'only worse ones reach' | 'no better one reaches' | 'none other reaches'
  /** What `explain` tries, all at once. Opens no session. */
  readonly probes: (agent: ProbedAgent) => readonly Probe[]
  /** Opens a session within a time limit of its own; rejects with the first failure, or with the signal's reason. */
  readonly dial: (candidate: Candidate, options: DialOptions, signal: AbortSignal) => Promise<Carried>
}
