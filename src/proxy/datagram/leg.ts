import type { Cut, CutKind, Sent } from '../flow/index.ts'

export interface DatagramEvents {
  /** `payload` is valid only during the call: its memory is reused. */
  readonly datagram: (payload: Buffer) => void
  /**
   * Reports datagrams, with the sum of their bytes, that `send` had accepted and that were dropped because the system
   * accepted no more.
   */
  readonly dropped: (datagrams: number, bytes: number) => void
  /** A message arrived that was too large to be a datagram. */
  readonly oversized: () => void
  /** The other end sends no more, and may still receive. */
  readonly ended: () => void
  /** The other end has closed without an error. */
  readonly closed: () => void
  readonly failed: (cut: Cut) => void
}

/**
 * One side of a flow of datagrams. Keeps message boundaries; drops, and never queues, a datagram that cannot be sent
 * now.
 */
export interface DatagramLeg {
  /** Begins to deliver. Must be called once. */
  readonly start: (events: DatagramEvents) => void
  /** Keeps no reference to `payload`. */
  readonly send: (payload: Buffer) => Sent
  /** Notifies the other end that no more will be sent to it. */
  readonly end: () => void
  /** Ends both directions cleanly. Idempotent, also after `abort`. */
  readonly close: () => void
  /** Ends both directions in a way that the other end can distinguish from a clean end. */
  readonly abort: (kind: CutKind) => void
}

/**
 * Maximum of bytes that wait in memory for a leg that does not accept them: four of the largest datagrams. Later
 * datagrams are dropped: on a blocked stream a queue would turn loss into delay.
 */
export const MAX_BACKLOG_BYTES = 256 * 1024
