/** The options of a suite on the command line. */
export interface SuiteOptions {
  readonly rounds: number
  /** Part of the name of the measures that are wanted. @default all */
  readonly only: string | undefined
  /** Parts of names of contenders that are left out. */
  readonly without: readonly string[]
  /** Checkout of another build of warren that is measured in turn with this one. @default none */
  readonly before?: string
  /** Directory for programs of Debian's unstable, which are measured too. @default none */
  readonly newest?: string
  /** Sizes of a mesh, for what depends on it. */
  readonly agents: readonly number[]
  /** Sizes of a registry, likewise. */
  readonly records: readonly number[]
  /** Prints progress for the person who waits. */
  readonly say: (line: string) => void
}
