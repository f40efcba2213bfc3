import { AMPLE, MAX_WAITING_WRITES, type Room, SMALL_BYTES } from '../flow/index.ts'
import { bufferPool } from './pool.ts'

/**
 * An opener asks for the next flow once it has read all answers, so more than this many unread answers are an attack:
 * each request would leave an answer in memory.
 */
export const MAX_UNREAD_ANSWERS = 8

/** Smaller contents are copied to be kept: a flow of few bytes needs little memory then. */
export const KEPT_SEALED_BYTES = 16 * 1024

/** The buffers that were written to a socket and have not left this process. */
export class WaitingWrites {
  /** Bounds what waits. */
  room: Room = AMPLE
  #count = 0
  #bytes = 0

  get count(): number {
    return this.#count
  }

  /** With all of the memory of each. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether enough waits, if `unsent` bytes do. */
  isFull(unsent: number): boolean {
    return (unsent > 0 && unsent >= this.room.bytes) || this.#count >= MAX_WAITING_WRITES
  }

  /** Returns a buffer for `size` bytes, to be written behind `unsent` bytes. `add` it when it is. */
  bufferFor(size: number, unsent: number): Buffer {
    // It will wait, and those of the pool are much larger.
    const waits = unsent > 0 && (size < SMALL_BYTES || this.room.isScarce)
    return waits ? Buffer.allocUnsafeSlow(size) : bufferPool.take()
  }

  add(buffer: Buffer): void {
    this.#count += 1
    this.#bytes += buffer.length
  }

  left(buffer: Buffer): void {
    this.#count -= 1
    this.#bytes -= buffer.length
    bufferPool.give(buffer)
  }
}
