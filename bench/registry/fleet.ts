import type { Scope } from '../../test/harness/index.ts'

/** Members that know each other, all on this machine, each watched by this process over one stream. */
export interface Fleet {
  readonly pids: readonly number[]
  /** Ends what watches the members, for them to be idle. */
  readonly unwatch: () => Promise<void>
  readonly changes: readonly Change[]
}

/** A change that is made at one member and is to be seen by all. */
export interface Change {
  readonly name: string
  /** Makes the `round`-th change at a member; resolves once all have seen it, with how long that took. */
  readonly make: (member: number, round: number) => Promise<Seen>
}

/** Milliseconds from the request for a change. */
export interface Seen {
  /** Until the last member had it. */
  readonly everywhereMs: number
  /** Until the member that was asked had answered. */
  readonly answeredMs: number
}

/** A kind of fleet that can be started. */
export interface FleetKind {
  readonly name: string
  readonly ours: boolean
  /** Why it cannot run here; undefined if it can. */
  readonly missing: () => string | undefined
  readonly start: (scope: Scope, members: number) => Promise<Fleet>
}
