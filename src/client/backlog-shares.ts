/**
 * Maximum of bytes that wait for an agent that does not read at the moment: at 50,000 datagrams of 512 bytes a second,
 * the data of 160 ms. It adds no delay otherwise, since an agent that runs reads at once.
 */
const LARGEST_BYTES = 4 * 1024 * 1024
/** Minimum for any number of sockets: a burst of one turn. */
const SMALLEST_BYTES = 256 * 1024
/** Maximum of all sockets together, unless there are so many that each has the minimum. */
const ALL_BYTES = 64 * 1024 * 1024

/** Divides the memory of a process for waiting datagrams among its open sockets. */
export class BacklogShares {
  #sharers = 0
  #shareBytes = LARGEST_BYTES

  /** Maximum of bytes that may wait in each socket now. */
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
