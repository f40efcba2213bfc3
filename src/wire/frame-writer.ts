import type { Writable } from 'node:stream'
import { atEndOfTurn } from '../core/index.ts'

/** Defines how a payload is written to a byte stream. */
export interface Framing {
  /** Number of bytes for a payload of this size. */
  readonly frameBytes: (payloadBytes: number) => number
  /** Writes exactly these bytes to `out` at `at`. */
  readonly write: (payload: Uint8Array, out: Buffer, at: number) => void
}

const SMALLEST_BYTES = 1_024
const LARGEST_BYTES = 64 * 1024

/** Writes the payloads of one turn of the event loop together: datagrams are small, and system calls are expensive. */
export class FrameWriter {
  readonly #stream: Writable
  readonly #framing: Framing
  readonly #onTurn = (): void => {
    this.#isAwaited = false
    this.flush()
  }
  #gathered: Buffer | undefined
  #end = 0
  /** Size of the last batch. */
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

  /** Accepts a payload, and keeps no reference to it. */
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

  /** Writes the accepted payloads now. Must be called before the stream is ended. */
  flush(): void {
    const gathered = this.#gathered
    if (gathered === undefined) return
    const frames = gathered.subarray(0, this.#end)
    this.#gathered = undefined
    this.#end = 0
    // Room for twice as much, so that memory which waits for a slow reader is used at least by half most of the time.
    this.#expectedBytes = Math.min(LARGEST_BYTES, Math.max(SMALLEST_BYTES, 2 * frames.length))
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.write(frames)
  }
}
