import { TurnQueue } from '../turn-queue.ts'

/** How many connections to one target are opened at once. Further ones wait, each source in turn. */
export const MAX_DIALS = 64

/** The places of the connections that are being opened to one target. */
export class DialSlots {
  readonly #waiting = new TurnQueue<() => void>()
  #used = 0

  /** Returns undefined if there is a place, else a promise of one, which rejects with the signal's reason. `leave` must follow. */
  enter(source: string, signal: AbortSignal): Promise<void> | undefined {
    if (this.#used < MAX_DIALS) {
      this.#used += 1
      return undefined
    }
    return this.#wait(source, signal)
  }

  leave(): void {
    const next = this.#waiting.shift()
    // The place is handed on.
    if (next === undefined) this.#used -= 1
    else next()
  }

  async #wait(source: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#waiting.remove(source, resolve)
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(source, resolve)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
