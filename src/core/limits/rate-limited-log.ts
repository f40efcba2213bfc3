import type { Clock } from '../clock.ts'
import type { LogFields, Logger } from '../log.ts'
import { type KeyedRate, type Rate, TokenBucket, TokenBuckets } from './token-bucket.ts'

export interface RateLimitedLogOptions {
  /** Lines of each key. @default as many as `all` allows */
  readonly perKey?: KeyedRate
  /** Lines of all keys together. @default as many as `perKey` allows */
  readonly all?: Rate
}

/**
 * Warnings that others cause, at a bounded rate: a peer that fails again and again must neither fill the log nor hide
 * the others. Further warnings are logged at `debug`.
 */
export class RateLimitedLog {
  readonly #log: Logger
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #perKey: TokenBuckets<string> | undefined
  readonly #all: TokenBucket | undefined

  constructor(log: Logger, clock: Pick<Clock, 'monotonicMs'>, { perKey, all }: RateLimitedLogOptions) {
    this.#log = log
    this.#clock = clock
    this.#perKey = perKey === undefined ? undefined : new TokenBuckets(perKey)
    this.#all = all === undefined ? undefined : new TokenBucket(all, clock.monotonicMs())
  }

  /** As a log whose warnings all count for `key`. */
  of(key: string): Pick<Logger, 'warn' | 'debug'> {
    return {
      warn: (message, fields = {}) => this.warn(key, message, fields),
      debug: (message, fields) => this.#log.debug(message, fields)
    }
  }

  /** Logs a warning for `key`: a user, a host, an address. */
  warn(key: string, message: string, fields: LogFields): void {
    const nowMs = this.#clock.monotonicMs()
    // The key's limit comes first: a single noisy key must not use up the limit that all share.
    const mayBeSaid = (this.#perKey?.take(key, nowMs) ?? true) && (this.#all?.take(nowMs) ?? true)
    if (mayBeSaid) this.#log.warn(message, fields)
    else this.#log.debug(message, fields)
  }
}
