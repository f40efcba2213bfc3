import { raceAbort } from '../../core/index.ts'
import { TurnQueue } from '../turn-queue.ts'

/**
 * Lets so many run at a time. The others wait, those of a user in order and the users in turn, so that one with many delays nobody
 * else. Whoever uses it bounds how many wait.
 */
export class Turns {
  #free: number
  readonly #waiting = new TurnQueue<() => void>()

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Runs `work` when it is the turn of `user`. Rejects with the signal's reason if it aborts before. */
  async run<T>(user: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(user, signal)
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  async #wait(user: string, signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>()
    let hasCome = false
    const come = (): void => {
      hasCome = true
      turn.resolve()
    }
    this.#waiting.push(user, come)
    try {
      await raceAbort(turn.promise, signal)
    } catch (err) {
      // It may have come just now.
      if (hasCome) this.#next()
      else this.#waiting.remove(user, come)
      throw err
    }
  }

  #next(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}
