import { PROOF_PAUSE_MAX_MS, PROOF_PAUSE_MS, PROOF_TIMEOUT_MAX_MS, PROOF_TIMEOUT_MS } from '../timing.ts'

/** Attempts that fit into the time left, so that none of them uses all of it. */
const SHARES = 8

/** Results of the attempts to prove the ends of one session again, since the last success. */
export class ProofAttempts {
  #failures = 0
  #problem = ''
  #notBeforeMs = Number.NEGATIVE_INFINITY

  /** Failures in a row. */
  get failures(): number {
    return this.#failures
  }

  /** Reason why the last one failed; empty if it did not. */
  get problem(): string {
    return this.#problem
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#notBeforeMs
  }

  worked(nowMs: number): void {
    this.#failures = 0
    this.#problem = ''
    this.#notBeforeMs = nowMs + PROOF_PAUSE_MS
  }

  /**
   * `leftMs`: time until the proved certificates end. Returns whether the failure should be logged: not each of many
   * is.
   */
  failed(problem: string, nowMs: number, leftMs: number): boolean {
    this.#failures += 1
    this.#problem = problem
    const pauseMs = PROOF_PAUSE_MS * 2 ** Math.min(this.#failures - 1, 10)
    this.#notBeforeMs = nowMs + Math.min(pauseMs, share(leftMs, PROOF_PAUSE_MS, PROOF_PAUSE_MAX_MS))
    return Number.isInteger(Math.log2(this.#failures))
  }
}

/** Time limit of one attempt when the proved certificates end in `leftMs`. */
export function proofTimeoutMs(leftMs: number): number {
  return share(leftMs, PROOF_TIMEOUT_MS, PROOF_TIMEOUT_MAX_MS)
}

function share(leftMs: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, leftMs / SHARES))
}
