import { raceAbort, within } from '../core/index.ts'
import { isEnough, type WaitMode } from '../registry/index.ts'

export type { WaitMode }

/** The progress of a change. */
export interface Replication {
  readonly state: 'replicated' | 'partial'
  readonly acked: number
  readonly required: number
  /** Machine names that have not acknowledged. */
  readonly missing: string[]
}

/** Acknowledgements of one change: the hosts that were live when it was published, and those that have it. */
export interface Progress {
  readonly required: number
  readonly missing: readonly string[]
}

/** Longest time that a caller waits for acknowledgements. */
export const REPLICATION_DEADLINE_MS = 5_000

/**
 * Waits until enough hosts have acknowledged, or the deadline passes, and returns the progress at that time.
 *
 * `progress` reports the present state; `changed` resolves at the next acknowledgement. A change that no other host needs,
 * or that was requested with `local`, is answered at once; one that is forgotten counts as `partial`.
 */
export async function awaitReplication(
  wait: WaitMode,
  progress: () => Progress | undefined,
  changed: () => Promise<void>,
  signal: AbortSignal
): Promise<Replication> {
  const enough = (): boolean => {
    const state = progress()
    return state === undefined || isEnough(wait, state)
  }
  try {
    await within(REPLICATION_DEADLINE_MS, [signal], async deadline => {
      while (!enough()) await raceAbort(changed(), deadline)
    })
  } catch (err) {
    if (signal.aborted) throw err
  }
  const state = progress()
  // Forgotten: so many changes came after it that its progress is no longer known.
  if (state === undefined) return { state: 'partial', acked: 0, required: 0, missing: [] }
  const { required, missing } = state
  return {
    state: missing.length === 0 ? 'replicated' : 'partial',
    acked: required - missing.length,
    required,
    missing: [...missing]
  }
}
