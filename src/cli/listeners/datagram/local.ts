/** A local socket that programs send datagrams to, and get answers from. */
export interface LocalDatagrams {
  /** Where it is, as a person would type it. */
  readonly bound: string
  /**
   * Sets the listener that receives each datagram; `from` is an argument for `send`, and `payload` is valid only
   * during the call. Call it once.
   */
  readonly onDatagram: (listener: (payload: Buffer, from: string) => void) => void
  /** Sends one datagram and keeps no reference to it, or drops it: the receiver may be closed, or may not accept it. */
  readonly send: (payload: Buffer, to: string) => void
  /** Frees the port or path. */
  readonly close: () => void
}

/** Answers that may wait for the local network, in bytes. */
export const MAX_BACKLOG_BYTES = 1024 * 1024
