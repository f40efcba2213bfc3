/** What a client of this host has sent before its flow is open. */
export interface FirstBytesSource {
  /** Takes at most `size` bytes that have arrived, without waiting; undefined if there are none. */
  readonly read: (size: number) => Buffer | undefined
  /** Puts bytes back that were taken: they are read first. */
  readonly unread: (bytes: Buffer) => void
}

/**
 * The first bytes of a flow, which may travel with the request for it.
 *
 * A workload that has got them may have acted on them. So once they are sent, the flow is opened there or not at all.
 */
export class FirstBytes {
  readonly #source: FirstBytesSource
  #bytes: Buffer | undefined
  #areSent = false

  constructor(source: FirstBytesSource) {
    this.#source = source
  }

  /** Whether they may have reached a workload. */
  get areSent(): boolean {
    return this.#areSent
  }

  /** Takes what has arrived, at most `size` bytes, to be sent. Undefined if there is nothing, or it was sent before. */
  send(size: number): Buffer | undefined {
    if (this.#areSent) return undefined
    this.#bytes ??= this.#source.read(size)
    this.#areSent = this.#bytes !== undefined
    return this.#bytes
  }

  /** The flow is open: bytes that did not travel with its request are read first. */
  settle(): void {
    if (this.#bytes !== undefined && !this.#areSent) this.#source.unread(this.#bytes)
    this.#bytes = undefined
  }
}
