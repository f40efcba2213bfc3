import type { Scope } from '../test/harness/index.ts'
import type { Load } from './load.ts'

/** Both ends of a contender, as they run. */
export interface Started {
  /** A connection to this path reaches the target; or to tcp:HOST:PORT. */
  readonly path: string
  /** The command line that runs `argv` where `path` is; as it is if left out. */
  readonly enter?: (argv: readonly string[]) => readonly string[]
  /** The processes of both ends; empty if each connection has one of its own. */
  readonly pids: readonly number[]
}

/** Something that carries bytes from one unix socket to another, encrypted and mutually authenticated in between. */
export interface Contender {
  readonly name: string
  /** Why it cannot run here; undefined if it can. */
  readonly missing: () => string | undefined
  /** Starts both of its ends, and a target of its own by `load` if it cannot carry to a unix socket. */
  readonly start: (scope: Scope, target: string, load: Load) => Promise<Started>
}
