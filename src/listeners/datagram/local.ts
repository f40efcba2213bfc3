/** A local socket that programs send datagrams to, and get answers from. */
export interface LocalDatagrams {
  /** Where it is, as a person would type it. */
  readonly bound: string
  /**
   * Sets the listener that receives each datagram; `from` is an argument for `send`, and `payload` is valid only
   * during the call. Call it once.
   */
  readonly onDatagram: (listener: (payload: Buffer, from: string) => void) => void
  /**
   * Sends one datagram and keeps no reference to it. Returns false if it is dropped because too much waits, or because the
   * receiver cannot be named; a receiver that is closed or does not accept it is not noticed.
   */
  readonly send: (payload: Buffer, to: string) => boolean
  /** Number of datagrams that the kernel dropped because they were not read in time, as far as it says. */
  readonly lost: () => number
  /** Frees the port or path. */
  readonly close: () => void
}

/** Answers that may wait for the local network, in bytes. */
export const MAX_BACKLOG_BYTES = 1024 * 1024
