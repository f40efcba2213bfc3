import type { Logger } from './log.ts'
import { sleep } from './signals.ts'

/**
 * Lets `work` continue without an `await`, and logs its failure, so that no rejection is ever unhandled.
 *
 * A rejection after `signal` has aborted is the normal end of a cancelled task, and is not logged.
 */
export function detach(log: Logger, name: string, work: Promise<unknown>, signal?: AbortSignal): void {
  work.catch((err: unknown) => {
    if (signal?.aborted !== true) log.warn('background task failed', { component: name, err })
  })
}

export interface LoopOptions {
  /** Pause after each round, in milliseconds; called for each round, so that it may adapt. */
  readonly intervalMs: () => number
  /** Share of the interval that is random, 0…1, so that many hosts do not act in step. @default 0.2 */
  readonly jitter?: number
  /** Runs the first round at once instead of after one interval. @default false */
  readonly immediate?: boolean
  readonly signal: AbortSignal
}

/**
 * Runs `round` repeatedly until `signal` aborts; a failing round is logged and the loop continues.
 *
 * Rounds never overlap. Resolves once the loop has ended.
 */
export async function loop(
  log: Logger,
  name: string,
  options: LoopOptions,
  round: (signal: AbortSignal) => Promise<void> | void
): Promise<void> {
  const { signal, intervalMs, jitter = 0.2, immediate = false } = options
  let first = immediate
  while (!signal.aborted) {
    if (first) {
      first = false
    } else {
      const base = intervalMs()
      try {
        await sleep(base * (1 - jitter / 2 + Math.random() * jitter), signal)
      } catch {
        return
      }
    }
    try {
      await round(signal)
    } catch (err) {
      if (signal.aborted) return
      log.warn('periodic task failed', { component: name, err })
    }
  }
}
