import type { Scope } from '../test/harness/index.ts'

/** Something that carries bytes from one unix socket to another, encrypted and mutually authenticated in between. */
export interface Contender {
  readonly name: string
  /** Why it cannot run here; undefined if it can. */
  readonly missing: () => string | undefined
  /** Starts both of its ends. Resolves with the path to connect to; what connects there reaches `target`. */
  readonly start: (scope: Scope, target: string) => Promise<string>
}
