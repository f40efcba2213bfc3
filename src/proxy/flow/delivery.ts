import type { Socket } from 'node:net'

/** What may wait in memory for a workload that does not read. */
const MAX_WAITING_BYTES = 256 * 1024
/** Writes that may wait for it: each holds a buffer, however small it is. */
const MAX_WAITING_WRITES = 64

/** Writes to a workload's socket what a lane brings for it. */
export class Delivery {
  readonly #socket: Socket
  readonly #onRoom: () => void
  #waitingWrites = 0
  #isHeldBack = false

  /** `onRoom` is called when nothing waits any more, after `write` returned false. */
  constructor(socket: Socket, onRoom: () => void) {
    this.#socket = socket
    this.#onRoom = onRoom
  }

  /** Calls `done` when `bytes` are used no longer. Returns false when enough waits. */
  write(bytes: Buffer, done: () => void): boolean {
    this.#waitingWrites += 1
    this.#socket.write(bytes, () => {
      done()
      this.#waitingWrites -= 1
      if (!this.#isHeldBack || this.#waitingWrites > 0) return
      this.#isHeldBack = false
      this.#onRoom()
    })
    this.#isHeldBack ||= this.#socket.writableLength >= MAX_WAITING_BYTES || this.#waitingWrites >= MAX_WAITING_WRITES
    return !this.#isHeldBack
  }
}
