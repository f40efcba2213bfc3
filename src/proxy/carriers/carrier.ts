import type { Candidate } from '../deps.ts'
import type { Pauses } from '../path-memory.ts'
import type { Dialled, DialOptions } from '../tls/index.ts'

/** What may be done beside a session, by how it travels. */
export interface Allowed {
  /** Connections of TCP from one agent to the other for single flows. */
  readonly fastPath: boolean
  /** Packets of UDP to where the session's own connection leads. */
  readonly datagrams: boolean
  /** Exchanges with hosts that are no members: those that join, and those whose certificate has ended. */
  readonly unauthenticated: boolean
}

/** How one session travels. */
export interface Path {
  /** For people and logs: `direct`, `relay via b`. */
  readonly name: string
  readonly allows: Allowed
}

/** A session that was opened, and how it travels. */
export interface Carried extends Dialled {
  readonly path: Path
}

/** One thing that shows whether a carrier reaches an agent now. */
export interface Probe {
  /** What of the agent is tried, where a carrier tries several things. */
  readonly address?: string
  /** Resolves with the name of the path that a session would take. Rejects when there is no answer. */
  readonly run: (signal: AbortSignal) => Promise<string>
}

/** The agent that a probe is for. */
export type ProbedAgent = Pick<Candidate, 'peer' | 'dataAddresses'>

/**
 * One way for sessions to another agent. Each is a file of this folder and a line in its index.
 *
 * Whatever carries a session carries TLS between two workloads: a carrier is trusted with nothing but passing bytes on.
 */
export interface Carrier {
  /** As in `--carrier`. */
  readonly name: string
  /** Of several that can reach an agent the one with the lowest rank is used, and a better one is tried beside a worse. */
  readonly rank: number
  /** How long it is left alone at a host after it failed there. */
  readonly backoff: Pauses
  /** Whether a flow that has no other way is tried on it even while it is left alone. */
  readonly isLastResort: boolean
  /** What it allows on every path that it makes. */
  readonly allows: Allowed
  /** Whether a dial could lead anywhere, as far as is known without one. */
  readonly canReach: (candidate: Candidate) => boolean
  /** Whether its probes ask third members for help, so that they are made only if no other carrier reaches the agent. */
  readonly probesLast: boolean
  /** What `explain` tries, all at once. Opens no session. */
  readonly probes: (agent: ProbedAgent) => readonly Probe[]
  /** Opens a session. Bounded in time by itself; rejects with the first failure, or with the signal's reason. */
  readonly dial: (candidate: Candidate, options: DialOptions, signal: AbortSignal) => Promise<Carried>
}
