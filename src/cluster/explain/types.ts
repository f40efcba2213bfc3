import type { Protocol } from '../../core/index.ts'
import type { Address, Pattern } from '../../identity/index.ts'
import type { Decision, Entry, UsageLimits } from '../../policy/index.ts'
import type { ClockDifference, OwnerView } from '../../registry/index.ts'
import type { EndedService } from '../ended-services.ts'
import type { LostHost } from '../lost-hosts.ts'
import type { Route } from '../routing.ts'
import type { RouteShare } from './choice.ts'

export interface ExplainStep {
  /** "source", "identity", "destination", "host", "clock", "server", "policy", "path", "certificate" or "choice". */
  readonly subject: string
  readonly ok: boolean
  /** This host cannot say it: another one may. Never with `ok`. */
  readonly unknown: boolean
  readonly text: string
  /** What a person does about it; empty if nothing has to be done. */
  readonly next: string
}

export interface Explanation {
  readonly works: boolean
  /** Nothing is known to be wrong, and not everything is known. Never with `works`. */
  readonly undecided: boolean
  readonly steps: readonly ExplainStep[]
}

/** A connection that is asked about. */
export interface ExplainRequest {
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  /** The user whose processes are to be the source; undefined: nobody in particular. */
  readonly uid?: number | undefined
  /** The answer is read on another host: it names no user and no process. */
  readonly isForOthers?: boolean
}

/** The state of one thing. */
export interface Found {
  readonly ok: boolean
  readonly text: string
}

/** An agent that is tried. */
export type Reached = Pick<OwnerView, 'machine' | 'peer' | 'dataAddresses'>

export interface ExplainDeps {
  readonly machine: string
  /** Why this host takes part in nothing: it is evicted, or its certificate has ended. */
  readonly excluded: () => Found | undefined
  /** The registrations of all hosts that match; all without a pattern. */
  readonly known: (pattern?: Pattern) => readonly Route[]
  /** How new connections of this host are shared out between instances, all of which the policy allows. */
  readonly sharesOf: (routes: readonly Route[]) => readonly RouteShare[]
  /** The members, this host among them. */
  readonly hosts: () => readonly OwnerView[]
  readonly lost: () => readonly LostHost[]
  /** The services that ended in the last day, as far as known here. */
  readonly ended: (destination: Pattern) => readonly EndedService[]
  readonly evaluate: (source: Address, destination: Route, protocol: Protocol) => Decision
  readonly policy: () => { readonly version: bigint; readonly entries: readonly Entry[]; readonly strict: boolean }
  /** The user for whom a registration of this host was made. */
  readonly registrant: (
    registrationId: string
  ) => { readonly uid: number; readonly entry: string | undefined } | undefined
  /** Whether a process of this user may register the address on this host. */
  readonly mayRegister: (address: Address, uid: number) => Promise<Found & { readonly hint?: string }>
  /** What is found now at the port of a registration of this host; undefined if it has no port. */
  readonly server: (registrationId: string, isForOthers: boolean, signal: AbortSignal) => Promise<Found | undefined>
  /** Why a registration of this host is failing, and since when. */
  readonly health: (
    registrationId: string
  ) => { readonly problem: string; readonly sinceMs: number | undefined } | undefined
  readonly suspectedSinceMs: (peer: Route['peer']) => number | undefined
  /** How much a registration of this host may be used now. */
  readonly limitsOf: (registrationId: string) => UsageLimits
  /** Tries to reach another host, and reports the result of each path. */
  readonly path: (agent: Reached, signal: AbortSignal) => Promise<Found>
  readonly clocks: () => readonly ClockDifference[]
  /** Expiry of the certificate of a host, as known here. */
  readonly certificateEnd: (machine: string) => number | undefined
  readonly nowMs: () => number
}

/** Things of one kind in one answer. */
export const MAX_SHOWN = 8

export const ok = (subject: string, text: string, next = ''): ExplainStep => step(subject, true, false, text, next)
export const no = (subject: string, text: string, next: string): ExplainStep => step(subject, false, false, text, next)
export const unknown = (subject: string, text: string, next: string): ExplainStep =>
  step(subject, false, true, text, next)

function step(subject: string, isOk: boolean, isUnknown: boolean, text: string, next: string): ExplainStep {
  return { subject, ok: isOk, unknown: isUnknown, text, next }
}

/** The verdict over steps that all must hold. */
export function verdictOf(steps: readonly ExplainStep[]): 'works' | 'fails' | 'undecided' {
  if (steps.some(one => !one.ok && !one.unknown)) return 'fails'
  return steps.every(one => one.ok) ? 'works' : 'undecided'
}
