import { DIRECT_BACKOFF_MAX_MS, DIRECT_BACKOFF_MS } from '../timing.ts'

interface Failure {
  readonly untilMs: number
  readonly pauseMs: number
}

/** Bounds the memory; the oldest failure is forgotten first, at the price of one more attempt. */
const MAX_FAILURES = 4_096

/** Remembers for a while that the direct way to a host failed, so that not every flow waits for it. */
export class DirectMemory {
  readonly #failures = new Map<string, Failure>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  isBlocked(machine: string): boolean {
    const failure = this.#failures.get(machine)
    return failure !== undefined && this.#nowMs() < failure.untilMs
  }

  failed(machine: string): void {
    const before = this.#failures.get(machine)
    const pauseMs = before === undefined ? DIRECT_BACKOFF_MS : Math.min(before.pauseMs * 2, DIRECT_BACKOFF_MAX_MS)
    this.#failures.delete(machine)
    this.#failures.set(machine, { untilMs: this.#nowMs() + pauseMs, pauseMs })
    const oldest = this.#failures.keys().next().value
    if (this.#failures.size > MAX_FAILURES && oldest !== undefined) this.#failures.delete(oldest)
  }

  worked(machine: string): void {
    this.#failures.delete(machine)
  }
}
