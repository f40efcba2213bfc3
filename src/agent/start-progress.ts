import type { Restart } from '../restart/index.ts'

/** What a starting agent waits for, or why the wait goes on. */
export interface StartProgress {
  /**
   * `authority`: an answer of the authority that admits this host. `member`: a connection to a member of the mesh. `sync`: the
   * registry and the policy of the member that is connected. `approval`: an operator who admits this host; `problem` says how.
   */
  readonly waitsFor: 'authority' | 'member' | 'sync' | 'approval'
  /** The addresses that are dialled, or those that failed. */
  readonly addresses: readonly string[]
  /** The member, where it is known. */
  readonly machine?: string
  /** The last failure. */
  readonly problem?: string
}

export interface StartOptions {
  /** Called while the agent starts, for a person who watches. @default no notification */
  readonly onProgress?: (progress: StartProgress) => void
  /** How this process follows another of the same agent, and is followed. @default it does neither */
  readonly restart?: Restart | undefined
}
