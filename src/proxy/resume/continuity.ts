import type { Keeper, Place, Reopen } from '../flow/index.ts'
import { KeptBytes } from './kept-bytes.ts'
import type { KeptAccount } from './slab.ts'

/**
 * So much may be sent and not acknowledged, before the sender waits. On a way of 100 ms it allows 40 MB/s. No bound of the kernel
 * would do: Linux lets a window grow beyond TCP_WINDOW_CLAMP, up to `tcp_rmem`, and a proxy between the hosts holds what it likes.
 */
const AHEAD_BYTES = 4 * 1024 * 1024
/** Most bytes of a direction that are kept: those, and what has been read already when the sender begins to wait. */
export const KEPT_BYTES: number = AHEAD_BYTES + 1024 * 1024

/** Reason why a flow does not continue. Nothing of it has been changed. */
export type Refusal = 'over' | 'used' | 'impossible' | 'forgotten'

/** The other agent named an attempt or a position that it cannot have. */
export class Discontinuity extends Error {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(
      {
        over: 'the flow is over',
        used: 'the attempt was made before',
        impossible: 'the two agents do not agree on what was sent',
        forgotten: 'the bytes that are missing are not kept any more'
      }[refusal]
    )
    this.refusal = refusal
  }
}

/** A request of the end that opened the flow, or the answer to it. */
export interface Offer {
  /** Each attempt has a greater number than the ones before. */
  readonly attempt: number
  /** What its sender has received of the other direction: its bytes, and one more if its end as well. */
  readonly position: number
}

/** What must be sent on the new path, before anything else. */
export interface Missing {
  readonly pieces: readonly Buffer[]
  readonly hasEnded: boolean
}

/** Everything that one end of a flow knows, for the next process of its agent. The bytes that are kept lie beside it. */
export interface ContinuityState {
  readonly hasEnded: boolean
  readonly receivedBytes: number
  readonly hasReceivedEnd: boolean
  readonly acknowledged: number
  readonly attempt: number
  readonly keptFrom: number
}

/**
 * One end of a flow that outlives the paths below it: the state machine, without any input or output.
 *
 * It counts both directions, and keeps what the other end may not have received. A position counts the bytes of a
 * direction, and its end as one more.
 */
export class Continuity implements Keeper {
  #kept: KeptBytes
  #state: 'carried' | 'waiting' | 'over' = 'carried'
  #hasEnded = false
  #receivedBytes = 0
  #hasReceivedEnd = false
  /** What the other end has received. */
  #acknowledged = 0
  #attempt = 0

  constructor(account: KeptAccount, limitBytes = KEPT_BYTES) {
    this.#kept = new KeptBytes(limitBytes, account)
  }

  /** The end of a flow as another process has left it, on a path that is about to be lost. */
  static restored(state: ContinuityState, kept: Buffer, account: KeptAccount, limitBytes = KEPT_BYTES): Continuity {
    const restored = new Continuity(account)
    restored.#kept = new KeptBytes(limitBytes, account, state.keptFrom)
    restored.#kept.add(kept)
    restored.#hasEnded = state.hasEnded
    restored.#receivedBytes = state.receivedBytes
    restored.#hasReceivedEnd = state.hasReceivedEnd
    restored.#acknowledged = state.acknowledged
    restored.#attempt = state.attempt
    return restored
  }

  /** What another process needs to continue. */
  get state(): { readonly state: ContinuityState; readonly kept: Buffer } {
    const { from } = this.#kept
    const state = {
      hasEnded: this.#hasEnded,
      receivedBytes: this.#receivedBytes,
      hasReceivedEnd: this.#hasReceivedEnd,
      acknowledged: this.#acknowledged,
      attempt: this.#attempt,
      keptFrom: from
    }
    return { state, kept: Buffer.concat(this.#kept.since(from)) }
  }

  get isWaiting(): boolean {
    return this.#state === 'waiting'
  }

  get isOver(): boolean {
    return this.#state === 'over'
  }

  get sentBytes(): number {
    return this.#kept.until
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  get hasReceivedEnd(): boolean {
    return this.#hasReceivedEnd
  }

  /** What has been received. */
  get position(): number {
    return this.#receivedBytes + (this.#hasReceivedEnd ? 1 : 0)
  }

  get acknowledgedBytes(): number {
    return Math.min(this.#acknowledged, this.sentBytes)
  }

  /** Whether so much is not acknowledged that more might not be kept. */
  get isAhead(): boolean {
    return this.sentBytes - this.acknowledgedBytes >= AHEAD_BYTES
  }

  /** Whether the other end has received all bytes, and the end of the direction. */
  get isAcknowledged(): boolean {
    return this.#hasEnded && this.#acknowledged > this.sentBytes
  }

  /** Grows with each byte that arrives at either end. */
  get progress(): number {
    return this.#receivedBytes + this.acknowledgedBytes
  }

  get memoryBytes(): number {
    return this.#kept.memoryBytes
  }

  place(size: number): Place | undefined {
    return this.#kept.place(size)
  }

  /** Bytes are sent. */
  keep(bytes: Buffer, reopen?: Reopen): void {
    if (reopen === undefined) this.#kept.add(bytes)
    else this.#kept.addSealed(bytes.length, reopen)
  }

  /** The bytes sent last, in memory that stays as it is; undefined if they are not kept. */
  last(size: number): Buffer[] | undefined {
    const offset = this.sentBytes - size
    return offset < this.#kept.from ? undefined : this.#kept.since(offset)
  }

  end(): void {
    this.#hasEnded = true
  }

  received(size: number): void {
    this.#receivedBytes += size
  }

  receivedEnd(): void {
    this.#hasReceivedEnd = true
  }

  /** The other end has received everything up to this position. Throws a Discontinuity if it cannot have. */
  acknowledge(position: number): void {
    this.#require(position)
    // Acknowledgements of a former path may come late.
    if (position <= this.#acknowledged) return
    this.#acknowledged = position
    this.#kept.release(this.acknowledgedBytes)
  }

  /** The path is lost. Returns false if that is known, or if the flow is over. */
  lost(): boolean {
    if (this.#state !== 'carried') return false
    this.#state = 'waiting'
    return true
  }

  /** Begins an attempt of the end that opened the flow. Throws a Discontinuity once it is over. */
  offer(): Offer {
    if (this.#state !== 'waiting') throw new Discontinuity('over')
    this.#attempt += 1
    return { attempt: this.#attempt, position: this.position }
  }

  /**
   * Accepts an attempt of the other end, which opened the flow. The present path must be given up before, and nothing of it be
   * received any more. Throws a Discontinuity, and changes nothing.
   */
  accept({ attempt, position }: Offer): Offer & Missing {
    if (this.#state === 'over') throw new Discontinuity('over')
    if (!Number.isSafeInteger(attempt) || attempt <= this.#attempt) throw new Discontinuity('used')
    const missing = this.#continueAt(position)
    this.#attempt = attempt
    return { attempt, position: this.position, ...missing }
  }

  /** The other end has accepted our last attempt. Throws a Discontinuity, and changes nothing. */
  granted({ attempt, position }: Offer): Missing {
    if (this.#state !== 'waiting') throw new Discontinuity('over')
    if (attempt !== this.#attempt) throw new Discontinuity('used')
    return this.#continueAt(position)
  }

  /** It has ended, for any reason: it never continues. */
  over(): void {
    this.#state = 'over'
    this.#kept.drop()
  }

  #continueAt(position: number): Missing {
    this.#require(position)
    // What was received before is not sent again.
    if (position < this.#acknowledged) throw new Discontinuity('impossible')
    const offset = Math.min(position, this.sentBytes)
    if (offset < this.#kept.from) throw new Discontinuity('forgotten')
    // First of all, since it may throw: what is sealed is opened for it.
    const pieces = offset === this.sentBytes ? [] : this.#kept.since(offset)
    this.acknowledge(position)
    this.#state = 'carried'
    return { pieces, hasEnded: this.#hasEnded }
  }

  #require(position: number): void {
    const most = this.sentBytes + (this.#hasEnded ? 1 : 0)
    if (!Number.isSafeInteger(position) || position < 0 || position > most) throw new Discontinuity('impossible')
  }
}
