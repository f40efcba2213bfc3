import type { Cut, CutKind } from './cut.ts'

/**
 * What may wait in memory for a leg that does not take it, in bytes; with what its stream and the other one's window
 * hold, a stalled reader costs about a megabyte in all. Measured: 64 KiB costs a fifth of the bulk throughput.
 */
export const MAX_WAITING_BYTES = 256 * 1024
/** Writes of lent memory that may wait: each holds a whole buffer, however few bytes of it are used. */
export const MAX_WAITING_WRITES = 64

/** Takes what a leg brings. */
export interface LegEvents {
  /**
   * Bytes that came. With `release` they are the taker's until it calls that; without, for as long as it likes, unless the
   * leg reads into memory that is used again: then for this call only. Returns false to be given no more until `resume`; what
   * was read already may still come.
   */
  readonly data: (bytes: Buffer, release?: () => void) => boolean
  /** The other end has ended its direction, and all of it has come. */
  readonly ended: () => void
  /** There is room again, after `send` returned false. */
  readonly drained: () => void
  /** `end` was called, and all that was sent has been passed on, the end as well. */
  readonly finished: () => void
  /** It ended in any other way. Nothing is said after it. */
  readonly failed: (cut: Cut) => void
  /**
   * Of a leg that was swapped for another: it brings its direction from this offset on; with undefined, nothing of it, for the
   * former brings the rest.
   */
  readonly started?: (offset: number | undefined) => void
}

/** One side of a flow of bytes: a workload's socket, a stream of a session, or a record connection. */
export interface ByteLeg {
  /** Whether `send` needs the bytes no longer when it returns: then they may lie in memory that is read into again. */
  readonly copies: boolean
  /** Of the bytes sent, how many have been passed on: at least to the kernel or the session. The others are kept here. */
  readonly deliveredBytes: number
  /** What is kept here, with all that it is wrapped in. */
  readonly waitingBytes: number
  /** Tells `events` what comes from now on. Nothing is read before the first `resume`. */
  subscribe(events: LegEvents): void
  /** Sends bytes, and calls `release` when they are used no longer. Returns false when enough waits: `drained` follows. */
  send(bytes: Buffer, release?: () => void): boolean
  /** Ends the direction of `send`. Idempotent. */
  end(): void
  /** Reads no more until `resume`. */
  pause(): void
  resume(): void
  /** Calls back once, when `deliveredBytes` has reached `offset`; never if the leg fails before. */
  delivered(offset: number, then: () => void): void
  /** Ends both directions at once and so that the other end can tell, and why if it can. What waits is dropped. Idempotent. */
  abort(kind: CutKind): void
  /** Both directions have ended: gives back what it has. Idempotent. */
  close(): void
}

/** A leg that can go on where another one was. */
export interface JoiningLeg extends ByteLeg {
  /** The direction of `send` goes on here from `offset` on; with undefined it has ended on the former leg. */
  start(offset: number | undefined): void
}
