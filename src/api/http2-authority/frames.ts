import { withTakenAuthority } from './header-block.ts'

/** RFC 9113, section 3.4. */
const PREFACE_BYTES = 24
const FRAME_HEADER_BYTES = 9
/** The largest frame that a client may send unless it is told otherwise, which this server does not. */
const MAX_FRAME_BYTES = 16_384
const HEADERS = 1
const PADDED = 0x08
const PRIORITY = 0x20

/**
 * What a client of HTTP/2 sends, with each authority such as Node takes it. Keeps at most one frame with headers; everything else,
 * and what is no HTTP/2, passes as it comes.
 */
export class TakenFrames {
  #waiting: Buffer = Buffer.alloc(0)
  /** Bytes that pass unread. */
  #passing = PREFACE_BYTES
  /** Whether a frame with headers has come. */
  hasHeaders = false
  /** Whether an authority was replaced. */
  hasReplaced = false

  /** Returns what may go on of all that has come so far. */
  next(chunk: Buffer): Buffer[] {
    let rest = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk])
    const passed: Buffer[] = []
    while (rest.length > 0) {
      if (this.#passing > 0) {
        const part = rest.subarray(0, this.#passing)
        passed.push(part)
        this.#passing -= part.length
        rest = rest.subarray(part.length)
        continue
      }
      if (rest.length < FRAME_HEADER_BYTES) break
      const length = rest.readUIntBE(0, 3)
      const isHeaders = rest[3] === HEADERS && length <= MAX_FRAME_BYTES
      if (!isHeaders) {
        this.#passing = FRAME_HEADER_BYTES + length
        continue
      }
      const end = FRAME_HEADER_BYTES + length
      if (rest.length < end) break
      passed.push(this.#taken(rest.subarray(0, end)))
      rest = rest.subarray(end)
    }
    this.#waiting = Buffer.from(rest)
    return passed
  }

  #taken(frame: Buffer): Buffer {
    this.hasHeaders = true
    const flags = frame[4] ?? 0
    const isPadded = (flags & PADDED) !== 0
    const from = FRAME_HEADER_BYTES + (isPadded ? 1 : 0) + ((flags & PRIORITY) === 0 ? 0 : 5)
    const to = frame.length - (isPadded ? (frame[FRAME_HEADER_BYTES] ?? 0) : 0)
    if (to < from) return frame
    const block = frame.subarray(from, to)
    const taken = withTakenAuthority(block)
    const length = frame.length - FRAME_HEADER_BYTES - block.length + taken.length
    if (taken === block || length > MAX_FRAME_BYTES) return frame
    this.hasReplaced = true
    const head = Buffer.from(frame.subarray(0, from))
    head.writeUIntBE(length, 0, 3)
    return Buffer.concat([head, taken, frame.subarray(to)])
  }
}
