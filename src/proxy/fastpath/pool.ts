import { MAX_CONTENT_BYTES, RECORD_OVERHEAD_BYTES } from './format.ts'

/** What one read takes at most: a unix socket of Linux holds about 208 KiB. */
export const READ_BYTES = 256 * 1024
/** Room for what is held of a record and what one read adds to it. */
const BUFFER_BYTES = MAX_CONTENT_BYTES + READ_BYTES + RECORD_OVERHEAD_BYTES
const MAX_SPARE = 8

/**
 * Buffers that are used again and again by all fast-path connections.
 *
 * A new one for each read would be garbage a moment later, and outside the heap V8 answers garbage by marking the whole
 * heap: a third of an agent's processor time, measured. One that is not given back is collected as any other.
 */
class BufferPool {
  readonly #spare: Buffer[] = []

  take(): Buffer {
    // Not initialised: what is in it was a buffer of this agent before, and only what was written is read.
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
  }

  /** `buffer` must be used by nobody any more, the kernel included. */
  give(buffer: Buffer): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer)
  }
}

export const bufferPool = new BufferPool()
/** Where all reads of fast-path connections and of their workloads' sockets go; its bytes are dealt with before the next read. */
export const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
