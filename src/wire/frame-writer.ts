import type { Writable } from 'node:stream'
import { atEndOfTurn } from '../core/index.ts'

/** How a payload is written to a byte stream. */
export interface Framing {
  /** What a payload of so many bytes takes. */
  readonly frameBytes: (payloadBytes: number) => number
  /** Writes just that to `out` at `at`. */
  readonly write: (payload: Uint8Array, out: Buffer, at: number) => void
}

const SMALLEST_BYTES = 1_024
const LARGEST_BYTES = 64 * 1024

/** Writes what is sent within one turn of the event loop together: datagrams are small, and system calls are not. */
export class FrameWriter {
  readonly #stream: Writable
  readonly #framing: Framing
  readonly #onTurn = (): void => {
    this.#isAwaited = false
    this.flush()
  }
  #gathered: Buffer | undefined
  #end = 0
  /** As much as came together last. */
  #expectedBytes = SMALLEST_BYTES
  #isAwaited = false

  constructor(stream: Writable, framing: Framing) {
    this.#stream = stream
    this.#framing = framing
  }

  /** Bytes that have not left this process. */
  get waitingBytes(): number {
    return this.#end + this.#stream.writableLength
  }

  /** Takes a payload, of which it keeps no reference. */
  send(payload: Uint8Array): void {
    const bytes = this.#framing.frameBytes(payload.length)
    if (this.#gathered !== undefined && this.#end + bytes > this.#gathered.length) {
      this.flush()
      this.#expectedBytes = LARGEST_BYTES
    }
    this.#gathered ??= Buffer.allocUnsafe(Math.max(bytes, this.#expectedBytes))
    this.#framing.write(payload, this.#gathered, this.#end)
    this.#end += bytes
    if (this.#isAwaited) return
    this.#isAwaited = true
    atEndOfTurn(this.#onTurn)
  }

  /** Writes what was taken, now. To be called before the stream is ended. */
  flush(): void {
    const gathered = this.#gathered
    if (gathered === undefined) return
    const frames = gathered.subarray(0, this.#end)
    this.#gathered = undefined
    this.#end = 0
    // Room for as much again, so that memory which waits for a slow reader is used at least by half most of the time.
    this.#expectedBytes = Math.min(LARGEST_BYTES, Math.max(SMALLEST_BYTES, 2 * frames.length))
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.write(frames)
  }
}
