import { MAX_CONTENT_BYTES, RECORD_OVERHEAD_BYTES } from './format.ts'

/** Maximum of one read: a unix socket of Linux holds about 208 KiB. */
export const READ_BYTES = 256 * 1024
/** Room for a partial record and the result of one read. */
const BUFFER_BYTES = MAX_CONTENT_BYTES + READ_BYTES + RECORD_OVERHEAD_BYTES
const MAX_SPARE = 8

/**
 * Buffers that connections reuse.
 *
 * A new one for each read would be garbage a moment later, and V8 answers garbage outside the heap by marking the whole
 * heap: a third of an agent's processor time, measured. A buffer that is not returned is collected as any other.
 */
class BufferPool {
  readonly #spare: Buffer[] = []
  readonly #bytes: number

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  take(): Buffer {
    // It is not initialised: its content was in a buffer of this agent before, and only bytes written since are read.
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  /** Ignores one that is not from here. `buffer` must have no other user any more, the kernel included. */
  give(buffer: Buffer): void {
    if (this.#spare.length < MAX_SPARE && buffer.length === this.#bytes) this.#spare.push(buffer)
  }
}

/** Those of fast-path connections. */
export const bufferPool: BufferPool = new BufferPool(BUFFER_BYTES)
/** Those of connections that are passed on, each for one read. */
export const readPool: BufferPool = new BufferPool(READ_BYTES)
/**
 * Receives all reads of fast-path connections and of their workloads' sockets; its bytes are handled before the next
 * read.
 */
export const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
/** The beginning of it, for flows that are to take little memory. */
export const littleBuffer = readBuffer.subarray(0, 4 * 1024)
