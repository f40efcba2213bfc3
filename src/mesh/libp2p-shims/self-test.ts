import { ErrorCode, type Logger, WarrenError, within } from '../../core/index.ts'

/** Asks a library whether a private member that one of the shims uses is still as the shim expects it. */
export interface SelfTest {
  /** Name of the package, as in README.md. */
  readonly library: string
  /** What the agent does when the member has changed, as a clause for the log. */
  readonly without: string
  /** Whether the mesh must not start without the member. */
  readonly isRequired: boolean
  /** Resolves to what is not as expected, or to undefined. */
  readonly run: (signal: AbortSignal) => Promise<string | undefined>
}

/** In memory each takes some milliseconds; more only on a machine that stands still. */
const TIMEOUT_MS = 10_000

/**
 * Runs the self-tests and logs one warning for each library that has changed.
 *
 * Throws UNSUPPORTED if one has changed that the mesh must not start without.
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
