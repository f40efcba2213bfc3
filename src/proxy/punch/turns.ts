import { raceAbort } from '../../core/index.ts'

/** Lets so many run at a time; the others wait in order. Whoever uses it bounds how many wait. */
export class Turns {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Runs `work` when it is its turn. Rejects with the signal's reason if it aborts before. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(signal)
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>()
    this.#waiting.add(turn.resolve)
    try {
      await raceAbort(turn.promise, signal)
    } catch (err) {
      // It may have come just now.
      if (!this.#waiting.delete(turn.resolve)) this.#next()
      throw err
    }
  }

  #next(): void {
    const [first] = this.#waiting
    if (first === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(first)
    first()
  }
}
