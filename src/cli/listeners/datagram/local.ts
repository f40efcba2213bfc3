/** A local socket that programs send datagrams to, and get answers from. */
export interface LocalDatagrams {
  /** Where it is, as a person would type it. */
  readonly bound: string
  /**
   * Has each datagram handed to `listener`; `from` is what `send` takes, and `payload` is valid only
   * during the call. To be called once.
   */
  readonly onDatagram: (listener: (payload: Buffer, from: string) => void) => void
  /** Sends one datagram, of which it keeps no reference, or drops it: who sent to us may be gone, or not take it. */
  readonly send: (payload: Buffer, to: string) => void
  /** Frees the port or path. */
  readonly close: () => void
}

/** Answers that may wait for the local network, in bytes. */
export const MAX_BACKLOG_BYTES = 1024 * 1024
