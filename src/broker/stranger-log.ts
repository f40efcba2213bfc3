import type { LogFields, Logger } from '../core/index.ts'

const WINDOW_MS = 60_000
const MAX_PER_WINDOW = 30

/**
 * Warnings about strangers, and about what others fail to prove, at most so many a minute: a scanner, or a user who connects
 * again and again, must not fill the log. The rest goes to debug.
 */
export class StrangerLog {
  readonly #log: Logger
  readonly #nowMs: () => number
  #sinceMs = Number.NEGATIVE_INFINITY
  #count = 0

  constructor(log: Logger, nowMs: () => number) {
    this.#log = log
    this.#nowMs = nowMs
  }

  warn(message: string, fields: LogFields): void {
    const now = this.#nowMs()
    if (now - this.#sinceMs >= WINDOW_MS) {
      this.#sinceMs = now
      this.#count = 0
    }
    this.#count += 1
    if (this.#count <= MAX_PER_WINDOW) this.#log.warn(message, fields)
    else this.#log.debug(message, fields)
  }
}
