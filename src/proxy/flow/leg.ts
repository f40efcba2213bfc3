import type { Cut, CutKind } from './cut.ts'
import type { Keeper } from './keeper.ts'
import type { Room } from './room.ts'

/**
 * Maximum of bytes that wait in memory for a leg that does not accept them. Together with its stream and the window of
 * the other stream, a stalled reader costs about a megabyte. Measured: 64 KiB costs a fifth of the bulk throughput.
 */
export const MAX_WAITING_BYTES = 256 * 1024
/** Maximum of waiting writes of lent memory: each holds a whole buffer, however few bytes of it are used. */
export const MAX_WAITING_WRITES = 8

/** A piece below this that has to wait is kept in memory of its own: the buffers that are used again are much larger. */
export const SMALL_BYTES = 80 * 1024

/** Receives the events of a leg. */
export interface LegEvents {
  /**
   * Bytes arrived. With `release` the receiver owns them until it calls that. Without it the receiver may keep them,
   * unless the leg reads into memory that is reused: then they are valid only during the call. Returns false to receive
   * no more until `resume`; bytes already read may still arrive.
   */
  readonly data: (bytes: Buffer, release?: () => void) => boolean
  /** The other end has ended its direction, and all of it has arrived. */
  readonly ended: () => void
  /** There is room again, after `send` returned false. */
  readonly drained: () => void
  /** `end` was called, and all bytes that were sent have been passed on, and the end as well. */
  readonly finished: () => void
  /** It ended in any other way. No event follows it. */
  readonly failed: (cut: Cut) => void
  /**
   * For a leg that was swapped for another: its direction arrives here from this offset on; undefined if nothing of it
   * does, because the former leg brings the remainder.
   */
  readonly started?: (offset: number | undefined) => void
}

/** One side of a flow of bytes: a workload's socket, a stream of a session, or a record connection. */
export interface ByteLeg {
  /** Whether `send` has copied the bytes when it returns: then they may lie in memory that is reused. */
  readonly copies: boolean
  /** Number of sent bytes that have been passed on, at least to the kernel or the session. The others are kept here. */
  readonly deliveredBytes: number
  /** Bytes of memory that are kept here, sent or not read yet, with everything that holds them. */
  readonly waitingBytes: number
  /** Bounds what waits here from now on. Without it, `MAX_WAITING_BYTES`. */
  limit(room: Room): void
  /** Sends all later events to `events`. Nothing is read before the first `resume`. */
  subscribe(events: LegEvents): void
  /**
   * Sends bytes, and calls `release` when they are no longer used. Returns false when enough waits: `drained` follows.
   */
  send(bytes: Buffer, release?: () => void): boolean
  /** As `send`, and gives all of the bytes to `keeper`, sent or not. For a leg that can keep them as they leave. */
  sendKept?(bytes: Buffer, keeper: Keeper): boolean
  /** Ends the direction of `send`. Idempotent. */
  end(): void
  /** Stops reading until `resume`. */
  pause(): void
  resume(): void
  /** Calls back once, when `deliveredBytes` has reached `offset`; never if the leg fails before. */
  delivered(offset: number, then: () => void): void
  /**
   * Ends both directions at once, so that the other end sees a failure, and the reason if possible. Waiting bytes are
   * dropped. Idempotent.
   */
  abort(kind: CutKind): void
  /** Releases its resources, after both directions have ended. Idempotent. */
  close(): void
  /** For a leg that moves to another one by itself, at the present offsets. */
  swap?(leg: JoiningLeg): void
}

/** A leg that can replace another leg of the same flow. */
export interface JoiningLeg extends ByteLeg {
  /** Continues the direction of `send` here from `offset` on; undefined if it has ended on the former leg. */
  start(offset: number | undefined): void
}
