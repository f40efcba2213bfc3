import type { Clock } from '../core/index.ts'

/** The longest rest: a machine that is slow for other reasons must not make it longer and longer. */
const MAX_REST_MS = 20

/**
 * Makes certificates one at a time, in the order of the requests. Each one takes some milliseconds of the event loop; so between two
 * there is a rest, in which the agent serves others, however many are requested at once.
 */
export class IssueQueue {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  /** Rest after a certificate, as a multiple of the time that it took. */
  readonly #restShare: number
  #last: Promise<unknown> = Promise.resolve()

  constructor(clock: Pick<Clock, 'monotonicMs'>, restShare: number) {
    this.#clock = clock
    this.#restShare = restShare
  }

  /** Settles as `make` does, which is called when those before it are made. */
  async run<T>(make: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last
    this.#last = promise
    await before
    const fromMs = this.#clock.monotonicMs()
    try {
      return await make()
    } finally {
      const tookMs = this.#clock.monotonicMs() - fromMs
      setTimeout(resolve, Math.min(MAX_REST_MS, tookMs * this.#restShare))
    }
  }
}
