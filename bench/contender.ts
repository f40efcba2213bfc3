import type { Scope } from '../test/harness/index.ts'

/** Both ends of a contender, as they run. */
export interface Started {
  /** A connection to this path reaches the target. */
  readonly path: string
  /** The processes of both ends; empty if each connection has one of its own. */
  readonly pids: readonly number[]
}

/** Something that carries bytes from one unix socket to another, encrypted and mutually authenticated in between. */
export interface Contender {
  readonly name: string
  /** Why it cannot run here; undefined if it can. */
  readonly missing: () => string | undefined
  /** Starts both of its ends. */
  readonly start: (scope: Scope, target: string) => Promise<Started>
}
