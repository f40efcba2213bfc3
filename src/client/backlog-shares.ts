/**
 * What may wait for an agent that does not read at the moment, in bytes: at 50,000 datagrams of 512 bytes a second, what comes
 * in 160 ms. It adds no delay otherwise, since an agent that has its turn reads and never waits.
 */
const LARGEST_BYTES = 4 * 1024 * 1024
/** However many share: a burst of one turn. */
const SMALLEST_BYTES = 256 * 1024
/** Of all sockets together, unless so many share that each has the smallest. */
const ALL_BYTES = 64 * 1024 * 1024

/** Divides the memory of a process for datagrams that wait among the sockets that it has open. */
export class BacklogShares {
  #sharers = 0
  #shareBytes = LARGEST_BYTES

  /** What may wait in each socket now. */
  get shareBytes(): number {
    return this.#shareBytes
  }

  join(): void {
    this.#resize(1)
  }

  leave(): void {
    this.#resize(-1)
  }

  #resize(change: number): void {
    this.#sharers += change
    const share = Math.floor(ALL_BYTES / Math.max(1, this.#sharers))
    this.#shareBytes = Math.min(LARGEST_BYTES, Math.max(SMALLEST_BYTES, share))
  }
}

export const backlogShares = new BacklogShares()
