import type { Clock } from '../clock.ts'
import type { LogFields, Logger } from '../log.ts'
import type { LimitName } from './limit-names.ts'

/** Interval between two lines about one limit, in milliseconds. */
export const HIT_LINE_MS = 60_000

interface Hits {
  toldMs: number
  /** Hits since the last line. */
  count: number
}

/**
 * Logs that a limit was reached: the first time at once, then at most once a minute for each limit, with the number of
 * hits since the last line. A peer that hits a limit a thousand times a second does not fill the log.
 */
export class LimitHits {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #hits = new Map<LimitName, Hits>()

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  note(limit: LimitName, fields: LogFields = {}): void {
    const now = this.#clock.monotonicMs()
    const hits = this.#hits.get(limit)
    if (hits !== undefined && now - hits.toldMs < HIT_LINE_MS) {
      hits.count += 1
      return
    }
    this.#hits.set(limit, { toldMs: now, count: 0 })
    this.#log.warn('limit reached', { ...fields, limitName: limit, count: (hits?.count ?? 0) + 1 })
  }
}
