/**
 * Time that a grant waits for the answer, in milliseconds. A server on the same host mostly answers within it; one that does not
 * delays only what its client sends beyond its first bytes.
 */
const GRANT_WAIT_MS = 1

/**
 * The grant of a flow that brought its first bytes. They are most often a whole request: the grant waits a moment for the
 * first bytes of the answer, to leave with them in one record.
 */
export class DueGrant {
  #timer: NodeJS.Timeout | undefined

  /** Calls `late` in a moment, unless `take` comes first. */
  wait(late: () => void): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      late()
    }, GRANT_WAIT_MS)
  }

  /** Returns whether it is due: it is not any more. */
  take(): boolean {
    if (this.#timer === undefined) return false
    clearTimeout(this.#timer)
    this.#timer = undefined
    return true
  }
}
