/** The longest rest: a machine that is slow for other reasons must not make it longer and longer. */
const MAX_REST_MS = 20

/**
 * Makes certificates one at a time, in the order of the requests. Each one takes some milliseconds of the event loop; so between two
 * there is a rest, in which the agent serves others, however many are requested at once.
 */
export class IssueQueue {
  /** Rest for each certificate, as a multiple of the time that the event loop worked meanwhile. */
  readonly #restShare: number
  #last: Promise<unknown> = Promise.resolve()

  constructor(restShare: number) {
    this.#restShare = restShare
  }

  /** Settles as `make` does, which is called when those before it are made. */
  async run<T>(make: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last
    this.#last = promise
    await before
    const from = performance.eventLoopUtilization()
    try {
      return await make()
    } finally {
      const { active, idle } = performance.eventLoopUtilization(from)
      // While a thread signs, the event loop is free: that was rest, too.
      const restMs = active * this.#restShare - idle
      if (restMs > 0) setTimeout(resolve, Math.min(MAX_REST_MS, restMs))
      else setImmediate(resolve)
    }
  }
}
