/** Maximum of bytes that wait in all queues together, unless there are so many that each has the minimum. */
const ALL_BYTES = 64 * 1024 * 1024
const LARGEST_BYTES = 4 * 1024 * 1024
/** Minimum for any number of queues: a burst of one turn. */
const SMALLEST_BYTES = 256 * 1024
/** What the memory of a datagram costs beside its bytes. */
const OVERHEAD_BYTES = 128

/** How much faster than they came they leave: a server that reads one burst in time may not read it all at once. */
const SPEED = 2

interface Waiter {
  readonly payload: Buffer
  readonly atMs: number
}

/** Datagrams that wait for their flow: the same shares as those that wait for the agent, so that all fit there. */
export class Waiting {
  #waiters: Waiter[] = []
  #bytes = 0
  #firstMs = 0

  get length(): number {
    return this.#waiters.length
  }

  /** Keeps a copy. Returns false if there is no room; `sharers` is the number of queues. */
  add(payload: Buffer, atMs: number, sharers: number): boolean {
    const share = Math.min(LARGEST_BYTES, Math.max(SMALLEST_BYTES, Math.floor(ALL_BYTES / sharers)))
    if (this.#bytes + payload.length + OVERHEAD_BYTES > share) return false
    if (this.#waiters.length === 0) this.#firstMs = atMs
    this.#bytes += payload.length + OVERHEAD_BYTES
    this.#waiters.push({ payload: Buffer.from(payload), atMs })
    return true
  }

  /** Takes those whose turn has come, in order, when the first one had its turn `sinceMs` ago. */
  due(sinceMs: number): Buffer[] {
    const until = this.#firstMs + sinceMs * SPEED
    const next = this.#waiters.findIndex(({ atMs }) => atMs > until)
    const due = this.#waiters.splice(0, next === -1 ? this.#waiters.length : next).map(({ payload }) => payload)
    for (const { length } of due) this.#bytes -= length + OVERHEAD_BYTES
    return due
  }

  /** Empties it, and returns how many waited. */
  drop(): number {
    const { length } = this.#waiters
    this.#waiters = []
    this.#bytes = 0
    return length
  }
}
