import { MAX_WAITING_BYTES } from './leg.ts'

/** A leg gets this part of what is left of a budget, so that the budget shrinks towards its end and never beyond. */
export const PART = 64
/** Waiting bytes that a session, a workload or the agent is charged for. */
export class WaitingAccount {
  readonly #limitBytes: number
  readonly #onReached: () => void
  #usedBytes = 0
  #roomBytes = MAX_WAITING_BYTES

  /** `onReached` is called each time that the limit is reached. */
  constructor(limitBytes: number, onReached: () => void) {
    this.#limitBytes = limitBytes
    this.#onReached = onReached
    this.charge(0)
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get roomBytes(): number {
    return this.#roomBytes
  }

  charge(difference: number): void {
    const wasBelow = this.#usedBytes < this.#limitBytes
    this.#usedBytes += difference
    const room = (this.#limitBytes - this.#usedBytes) / PART
    this.#roomBytes = room < 1 ? 1 : Math.min(room, MAX_WAITING_BYTES)
    if (wasBelow && this.#usedBytes >= this.#limitBytes) this.#onReached()
  }
}
