import { LruMap } from '../core/index.ts'

interface Failure {
  readonly untilMs: number
  readonly pauseMs: number
}

/** Bounds the memory; the oldest failure is forgotten first, at the price of one more attempt. */
const MAX_FAILURES = 4_096

export interface Pauses {
  readonly firstMs: number
  readonly longestMs: number
}

/** Remembers for a while that a path to a host failed, so that not every flow waits for it. */
export class PathMemory {
  readonly #failures = new LruMap<string, Failure>(MAX_FAILURES)
  readonly #pauses: Pauses
  readonly #nowMs: () => number

  constructor(pauses: Pauses, nowMs: () => number) {
    this.#pauses = pauses
    this.#nowMs = nowMs
  }

  isBlocked(machine: string): boolean {
    const failure = this.#failures.get(machine)
    return failure !== undefined && this.#nowMs() < failure.untilMs
  }

  failed(machine: string): void {
    const before = this.#failures.get(machine)
    const { firstMs, longestMs } = this.#pauses
    const pauseMs = before === undefined ? firstMs : Math.min(before.pauseMs * 2, longestMs)
    this.#failures.set(machine, { untilMs: this.#nowMs() + pauseMs, pauseMs })
  }

  worked(machine: string): void {
    this.#failures.delete(machine)
  }
}
