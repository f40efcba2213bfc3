import type { Duplex } from 'node:stream'
import { AMPLE, MAX_WAITING_WRITES, type Room, SMALL_BYTES } from '../flow/index.ts'
import { afterWriting, isFlushed } from './flushed.ts'
import { Milestones } from './milestones.ts'

/** Smaller writes are mostly alone in their turn: a question, an answer. */
const GATHERED_FROM_BYTES = 4 * 1024

/** Writes to a stream, and knows how much of it waits. */
export class Outflow {
  #stream: Duplex
  readonly #onRoom: () => void
  /** Bounds what waits. */
  room: Room = AMPLE
  #sentBytes = 0
  #lent = 0
  #lentBytes = 0
  #isFull = false
  #isHeld = false
  /** A caller of `write` got false. */
  #isAwaited = false
  #isGathering = false
  #milestones: Milestones | undefined

  /** `onRoom` is called when nothing waits any more, after `write` returned false. */
  constructor(stream: Duplex, onRoom: () => void) {
    this.#stream = stream
    this.#onRoom = onRoom
  }

  get deliveredBytes(): number {
    return Math.max(0, this.#sentBytes - this.#stream.writableLength)
  }

  /** Bytes of memory that wait, with all of what is lent. */
  get waitingBytes(): number {
    return Math.max(this.#stream.writableLength, this.#lentBytes)
  }

  /** Calls `release`, if there is one, when `bytes` are no longer used. Returns false when enough waits. */
  write(bytes: Buffer, release?: () => void): boolean {
    const stream = this.#stream
    if (stream.destroyed) {
      release?.()
      return false
    }
    this.#sentBytes += bytes.length
    if (release === undefined) {
      stream.write(bytes, this.#onWritten)
      this.#gather(bytes.length)
    } else if (stream.writableLength > 0 && (bytes.length < SMALL_BYTES || this.room.isScarce)) {
      // What is lent is a part of a much larger buffer.
      stream.write(Buffer.from(bytes), this.#onWritten)
      release()
    } else {
      const size = bytes.buffer.byteLength
      this.#lent += 1
      this.#lentBytes += size
      stream.write(bytes, () => {
        release()
        this.#lent -= 1
        this.#lentBytes -= size
        this.#onWritten()
      })
    }
    const waiting = stream.writableLength
    if ((waiting > 0 && waiting >= this.room.bytes) || this.#lent >= MAX_WAITING_WRITES) this.#isFull = true
    if (!this.#isFull && !this.#isHeld) return true
    this.#isAwaited = true
    return false
  }

  delivered(offset: number, then: () => void): void {
    if (this.deliveredBytes >= offset) {
      then()
      return
    }
    this.#milestones ??= new Milestones()
    this.#milestones.add(offset, then)
  }

  /** Calls back when nothing waits, or the stream has closed; until `releaseIdle`, `write` always returns false. */
  hold(callback: () => void): void {
    this.#isHeld = true
    const attempt = (): void => {
      // More may have arrived meanwhile.
      if (isFlushed(this.#stream) || this.#stream.destroyed) callback()
      else afterWriting(this.#stream, attempt)
    }
    attempt()
  }

  releaseIdle(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#tellRoom()
  }

  /** Continues with another stream. Call it only while nothing waits. */
  exchange(stream: Duplex): void {
    this.#stream = stream
    this.#isFull = false
  }

  // One function for all writes: Node recognises it, and calls back once for those that end together.
  readonly #onWritten = (): void => {
    this.#milestones?.reach(this.deliveredBytes)
    if (!this.#isFull || this.#stream.writableLength > 0) return
    this.#isFull = false
    this.#tellRoom()
  }

  #tellRoom(): void {
    if (this.#isHeld || this.#isFull || !this.#isAwaited) return
    this.#isAwaited = false
    this.#onRoom()
  }

  // The first chunk of a turn leaves at once, the others together: one decrypted read arrives in pieces of at most 16
  // KiB, and a system call for each of them took the destination's agent two and a half times as long.
  #gather(bytes: number): void {
    if (this.#isGathering || bytes < GATHERED_FROM_BYTES) return
    this.#isGathering = true
    const stream = this.#stream
    stream.cork()
    setImmediate(() => {
      this.#isGathering = false
      stream.uncork()
    })
  }
}
