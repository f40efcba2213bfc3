import type { Protocol } from '../core/index.ts'
import type { Pattern } from '../identity/index.ts'

/** What no rule and no whitelist may allow: nothing of the source may ever connect to anything of the destination. */
export interface Invariant {
  /** Unique in the bundle and never given to another invariant. */
  readonly id: string
  readonly source: Pattern
  readonly destination: Pattern
  /** Empty: every protocol. */
  readonly protocols: readonly Protocol[]
  readonly reason: string
  /** Who answers for it, for people. @default nobody is named */
  readonly owner?: string | undefined
  readonly createdAtMs: number
  /** Name of the admin whose set states it. @default the root of policy */
  readonly by?: string
}
