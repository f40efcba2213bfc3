import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from '../../core/index.ts'

const LOOK_MS = 5_000

export interface LooksOptions {
  readonly log: Logger
  readonly signal: AbortSignal
  /** What is logged when a look fails. */
  readonly failure: string
}

/** Looks every five seconds, until the signal or until a look returns false. Never rejects, and holds no process. */
export async function lookEverySeconds(look: () => unknown, { log, signal, failure }: LooksOptions): Promise<void> {
  while (!signal.aborted) {
    await pause(LOOK_MS, undefined, { signal, ref: false }).catch(() => {})
    if (signal.aborted) return
    try {
      if ((await look()) === false) return
    } catch (err) {
      log.debug(failure, { err })
    }
  }
}
