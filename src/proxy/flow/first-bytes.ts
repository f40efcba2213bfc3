/** What a client of this host has sent before its flow is open. */
export interface FirstBytesSource {
  /** Returns a copy of at most `size` bytes that have arrived, and leaves them; undefined if there are none. Does not wait. */
  readonly peek: (size: number) => Buffer | undefined
  /** Drops bytes that `peek` has returned: they are not read again. */
  readonly drop: (size: number) => void
}

/**
 * The first bytes of a flow, which may travel with the request for it.
 *
 * A workload that has got them may have acted on them. So once they are sent, the flow is opened there or not at all. Until
 * the flow is open they stay unread: a client that is refused gets the same error as one whose bytes nobody has looked at.
 */
export class FirstBytes {
  readonly #source: FirstBytesSource
  #sentBytes = 0

  constructor(source: FirstBytesSource) {
    this.#source = source
  }

  /** Whether some may have reached a workload. */
  get areSent(): boolean {
    return this.#sentBytes > 0
  }

  /** Returns what has arrived, at most `size` bytes, to be sent. Undefined if there is nothing, or some was sent before. */
  send(size: number): Buffer | undefined {
    if (this.areSent) return undefined
    const bytes = this.#source.peek(size)
    this.#sentBytes = bytes?.length ?? 0
    return bytes
  }

  /** The flow is open: what was sent is read. */
  settle(): void {
    if (this.areSent) this.#source.drop(this.#sentBytes)
  }
}
