// What the server of the console and its pages say to each other: types only, which browsers never load.

/** The agent that is looked at, and what this console may do. */
export interface SelfView {
  readonly version: string
  readonly trustDomain: string
  readonly machine: string
  readonly state: string
  readonly startedAtMs: number
  readonly policyVersion: number
  /** Whether this host signs the policy. */
  readonly admin: boolean
  /** Started with --allow-changes. */
  readonly allowsChanges: boolean
}

export interface HostView {
  readonly machine: string
  /** As `warren members` shows it: "self", "connected", "alive" or "suspect"; "left", "silent" or "evicted" for a lost host. */
  readonly state: string
  readonly version: string
  readonly policyVersion: number
  readonly addresses: readonly string[]
  /** Zero: unknown. */
  readonly certificateNotAfterMs: number
  readonly suspectSinceMs: number
  readonly lostSinceMs: number
}

export interface WorkloadView {
  readonly address: string
  readonly machine: string
  readonly protocols: readonly string[]
  readonly health: string
  readonly problem: string
  readonly labels: readonly string[]
  readonly registeredAtMs: number
  readonly suspect: boolean
}

/** Hosts and workloads, as this host knows them. */
export interface MeshView {
  readonly self: SelfView
  readonly hosts: readonly HostView[]
  readonly workloads: readonly WorkloadView[]
  /** Workloads beyond the maximum, which are left out. */
  readonly leftOut: number
  /** What could not be asked, each in a sentence. */
  readonly problems: readonly string[]
}

/** An answer that is sent only if it differs from the one that the page has. */
export interface Versioned<T> {
  readonly version: string
  /** Undefined: unchanged. */
  readonly value?: T
}

/** Which hosts were asked for what a page shows, and which could not be. */
export interface AskedView {
  /** By the clock of the console; zero: nobody was asked. */
  readonly askedAtMs: number
  /** Hosts that were asked, as far as they have answered or are not waited for any longer. */
  readonly hosts: number
  /** No more answers come. */
  readonly isOver: boolean
  readonly missing: ReadonlyArray<{ readonly machine: string; readonly why: string }>
  /** Hosts that are missing besides those. */
  readonly moreMissing: number
  /** Why no other host could be asked; empty if they could. */
  readonly problem: string
  /** They are asked again after this time. */
  readonly everyMs: number
}

export interface FlowView {
  readonly id: string
  /** The hosts that carry it. */
  readonly hosts: readonly string[]
  readonly direction: string
  readonly source: string
  readonly destination: string
  readonly protocol: string
  readonly carrier: string
  readonly bytesIn: number
  readonly bytesOut: number
  readonly openedAtMs: number
  readonly rule: string
  readonly problem: string
}

/** The flows that this host carries, or all hosts. */
export interface FlowsView {
  readonly atMs: number
  readonly flows: readonly FlowView[]
  readonly leftOut: number
  /** Undefined: those of this host. */
  readonly asked?: AskedView
}

export interface RuleView {
  readonly id: string
  readonly effect: string
  readonly source: string
  readonly destination: string
  readonly protocols: readonly string[]
  readonly untilMs: number
  readonly reason: string
  readonly owner: string
}

/** The policy's answer for a source and a destination; "mixed" if it differs between their instances. */
export type Verdict = 'allowed' | 'denied' | 'audited' | 'mixed'

export interface Cell {
  readonly verdict: Verdict
  /** The rule behind it; empty if no rule decides. */
  readonly rule: string
  readonly text: string
}

/** Every source against every destination, for one protocol. */
export interface MatrixView {
  readonly version: number
  readonly protocol: string
  readonly rules: readonly RuleView[]
  readonly sources: readonly string[]
  readonly destinations: readonly string[]
  /** A row for each source, with a cell for each destination. */
  readonly cells: ReadonlyArray<readonly Cell[]>
  readonly leftOutSources: number
  readonly leftOutDestinations: number
}

/** Refused attempts of one kind. */
export interface RefusalView {
  readonly source: string
  readonly destination: string
  readonly protocol: string
  readonly direction: string
  readonly code: string
  readonly reason: string
  /** The hosts that have noted it: both ends do. */
  readonly hosts: readonly string[]
  readonly count: number
  readonly lastAtMs: number
}

export interface RefusalsView {
  readonly refusals: readonly RefusalView[]
  /** Attempts that are not among them: their hosts have more than fit in an answer. */
  readonly leftOut: number
  readonly asked: AskedView
}

export interface EventView {
  readonly machine: string
  readonly name: string
  readonly atMs: number
  readonly fields: ReadonlyArray<readonly [name: string, text: string]>
}

export interface EventsView {
  readonly events: readonly EventView[]
  readonly leftOut: number
  readonly asked: AskedView
}

export interface CertificateView {
  readonly kind: string
  readonly subject: string
  /** Zero: unknown. */
  readonly issuedAtMs: number
  readonly notAfterMs: number
  /** Zero: it is not renewed automatically. */
  readonly renewAtMs: number
  readonly alarm: string
  readonly problem: string
}

export interface CertificatesView {
  readonly certificates: readonly CertificateView[]
  readonly problems: readonly string[]
}

export interface ExplainView {
  readonly verdict: 'works' | 'fails' | 'undecided'
  /** In the order of the connection. */
  readonly ends: ReadonlyArray<{
    readonly machine: string
    /** "source", "destination" or "neither"; empty if only this host was asked. */
    readonly role: string
    readonly steps: ReadonlyArray<{
      readonly subject: string
      readonly ok: boolean
      readonly unknown: boolean
      readonly text: string
      /** What to do; empty if nothing has to be done. */
      readonly next: string
    }>
  }>
  /** Hosts that were asked and have not answered, and the reason. */
  readonly missing: ReadonlyArray<{ readonly machine: string; readonly why: string }>
  /** Why only this host was asked; empty if others were. */
  readonly problem: string
}

/** A rule that is written but not in force, and what it would do. */
export interface DraftView {
  readonly id: string
  /** The command line that does the same. */
  readonly command: string
  readonly rule: RuleView
  readonly policyVersion: number
  /** Flows of this host that it would cut, each in a line. */
  readonly cuts: readonly string[]
}

export interface AppliedView {
  readonly rule: string
  readonly policyVersion: number
}

/** What a page gets for its link. */
export interface SessionView {
  /** Goes with every request of the page, in a header: cookies are sent to other ports of 127.0.0.1 too. */
  readonly key: string
}

export interface FailureView {
  readonly error: { readonly code: string; readonly reason: string; readonly hint: string }
}
