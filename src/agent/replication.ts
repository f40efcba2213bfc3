import { raceAbort, within } from '../core/index.ts'

/** Which hosts must have applied a change before its caller is answered. */
export type WaitMode = 'all' | 'quorum' | 'local'

/** How far a change has come. */
export interface Replication {
  readonly state: 'replicated' | 'partial'
  readonly acked: number
  readonly required: number
  /** Machine names that have not acknowledged. */
  readonly missing: string[]
}

/** Acknowledgements of one change: who was alive when it was published, and who has it. */
export interface Progress {
  readonly required: number
  readonly missing: readonly string[]
}

/** Longest that a caller waits for acknowledgements. */
export const REPLICATION_DEADLINE_MS = 5_000

/**
 * Waits until enough hosts have acknowledged, or the deadline passes, and says how it stands then.
 *
 * `progress` reports the present state; `changed` resolves at the next acknowledgement. A change that nobody else needs
 * to have, or that was asked for with `local`, is answered at once.
 */
export async function awaitReplication(
  wait: WaitMode,
  progress: () => Progress,
  changed: () => Promise<void>,
  signal: AbortSignal
): Promise<Replication> {
  const enough = (): boolean => {
    const { required, missing } = progress()
    const acked = required - missing.length
    // A quorum is a majority of all hosts, of which this one has the change already.
    return wait === 'local' || missing.length === 0 || (wait === 'quorum' && acked + 1 > (required + 1) / 2)
  }
  try {
    await within(REPLICATION_DEADLINE_MS, [signal], async deadline => {
      while (!enough()) await raceAbort(changed(), deadline)
    })
  } catch (err) {
    if (signal.aborted) throw err
  }
  const { required, missing } = progress()
  return {
    state: missing.length === 0 ? 'replicated' : 'partial',
    acked: required - missing.length,
    required,
    missing: [...missing]
  }
}
