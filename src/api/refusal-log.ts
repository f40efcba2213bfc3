import { Allowance, type Clock, type LogFields, type Logger } from '../core/index.ts'

const PER_UID = Object.freeze({ burst: 10, perSecond: 1 / 6, maxKeys: 256 })
/** Stands for a caller whose user cannot be read. */
const NOBODY = 'nobody'

/**
 * Warns of refused connections, ten a minute for each user: whoever connects again and again must not fill the log. The
 * rest goes to debug.
 */
export class RefusalLog {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #allowance = new Allowance<string>(PER_UID)

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  note(account: string | undefined, message: string, fields: LogFields): void {
    const key = account ?? NOBODY
    const nowMs = this.#clock.monotonicMs()
    if (this.#allowance.left(key, nowMs) < 1) {
      this.#log.debug(message, fields)
      return
    }
    this.#allowance.use(key, 1, nowMs)
    this.#log.warn(message, fields)
  }
}
