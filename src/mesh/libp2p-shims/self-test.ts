import { ErrorCode, type Logger, WarrenError, within } from '../../core/index.ts'

/** Checks whether a private member of a library that one of the shims uses is still as the shim expects it. */
export interface SelfTest {
  /** Name of the package, as in README.md. */
  readonly library: string
  /** The effect on the agent when the member has changed, as a clause for the log. */
  readonly without: string
  /** Whether the mesh must not start without the member. */
  readonly isRequired: boolean
  /** Resolves to the unexpected finding, or to undefined. */
  readonly run: (signal: AbortSignal) => Promise<string | undefined>
}

/** In memory each test takes some milliseconds; only a stalled machine takes longer. */
const TIMEOUT_MS = 10_000

/**
 * Runs the self-tests and logs one warning for each library that has changed.
 *
 * Throws UNSUPPORTED if a library has changed without which the mesh must not start.
 */
export async function runSelfTests(tests: readonly SelfTest[], log: Logger): Promise<void> {
  for (const { library, without, isRequired, run } of tests) {
    const fault = await within(TIMEOUT_MS, [], run).catch((err: unknown) =>
      err instanceof Error ? err.message : 'it failed'
    )
    if (fault === undefined) continue
    if (isRequired) {
      throw new WarrenError(ErrorCode.Unsupported, `${library} has changed inside: ${fault}`, {
        hint: 'Install the versions of @libp2p packages that package-lock.json names.'
      })
    }
    log.warn('a library has changed inside', { component: library, reason: `${fault}; ${without}` })
  }
}
