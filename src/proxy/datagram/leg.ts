import type { Cut, CutKind, Sent } from '../flow/index.ts'

export interface DatagramEvents {
  /** `payload` is valid only during the call: its memory is used again. */
  readonly datagram: (payload: Buffer) => void
  /** Datagrams with so many bytes, which `send` had taken, were dropped since the system took no more. */
  readonly dropped: (datagrams: number, bytes: number) => void
  /** One arrived that was too large to be a datagram. */
  readonly oversized: () => void
  /** It will send no more, and may still receive. */
  readonly ended: () => void
  /** It is gone, and nothing went wrong. */
  readonly closed: () => void
  readonly failed: (cut: Cut) => void
}

/** One side of a flow of datagrams. Message boundaries are kept; what cannot be taken now is dropped, never queued. */
export interface DatagramLeg {
  /** Begins to deliver. To be called once. */
  readonly start: (events: DatagramEvents) => void
  /** Keeps no reference to `payload`. */
  readonly send: (payload: Buffer) => Sent
  /** Tells it that nothing more will be sent to it. */
  readonly end: () => void
  /** Ends both directions cleanly. Idempotent, also after `abort`. */
  readonly close: () => void
  /** Ends both directions so that the other end can tell. */
  readonly abort: (kind: CutKind) => void
}

/**
 * What may wait in memory for a leg that does not take it, in bytes: four of the largest datagrams. Beyond that, what
 * arrives is dropped: on a stream that is blocked a queue would turn loss into delay.
 */
export const MAX_BACKLOG_BYTES = 256 * 1024
