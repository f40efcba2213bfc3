import { Authorities } from './header-block.ts'

/** RFC 9113, section 3.4. */
const PREFACE_BYTES = 24
const FRAME_HEADER_BYTES = 9
/** The largest frame that a client may send unless it is told otherwise, which this server does not. */
const MAX_FRAME_BYTES = 16_384
/** Of one call; beyond it they pass as they are, and Node's own limit refuses the call. */
const MAX_FRAGMENTS = 8
const HEADERS = 1
const CONTINUATION = 9
const END_HEADERS = 0x04
const PADDED = 0x08
const PRIORITY = 0x20

/**
 * What a client of HTTP/2 sends, with each authority such as Node takes it. Keeps at most the frames with the headers of one call;
 * everything else, and what is no HTTP/2, passes as it comes.
 */
export class TakenFrames {
  #waiting: Buffer = Buffer.alloc(0)
  /** Bytes that pass unread. */
  #passing = PREFACE_BYTES
  /** Frames of a call whose headers have not come to their end. */
  #fragments: Buffer[] = []
  readonly #authorities = new Authorities()
  /** Whether frames with all headers of a call have come. */
  hasHeaders = false
  /** Whether an authority was replaced, or added. */
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
      const wanted = this.#fragments.length === 0 ? HEADERS : CONTINUATION
      if (rest[3] !== wanted || length > MAX_FRAME_BYTES) {
        // Nothing may come between the frames of one call: Node ends such a connection.
        passed.push(...this.#released())
        this.#passing = FRAME_HEADER_BYTES + length
        continue
      }
      const end = FRAME_HEADER_BYTES + length
      if (rest.length < end) break
      passed.push(...this.#withFragment(Buffer.from(rest.subarray(0, end))))
      rest = rest.subarray(end)
    }
    this.#waiting = Buffer.from(rest)
    return passed
  }

  #released(): Buffer[] {
    const fragments = this.#fragments
    this.#fragments = []
    return fragments
  }

  #withFragment(frame: Buffer): Buffer[] {
    this.#fragments.push(frame)
    const isLast = ((frame[4] ?? 0) & END_HEADERS) !== 0
    if (!isLast && this.#fragments.length < MAX_FRAGMENTS) return []
    const fragments = this.#released()
    if (!isLast) return fragments
    this.hasHeaders = true
    return this.#taken(fragments)
  }

  #taken(fragments: Buffer[]): Buffer[] {
    const [first = Buffer.alloc(0), ...others] = fragments
    const flags = first[4] ?? 0
    const isPadded = (flags & PADDED) !== 0
    const from = FRAME_HEADER_BYTES + (isPadded ? 1 : 0) + ((flags & PRIORITY) === 0 ? 0 : 5)
    const to = first.length - (isPadded ? (first[FRAME_HEADER_BYTES] ?? 0) : 0)
    if (to < from) return fragments
    const block = Buffer.concat([first.subarray(from, to), ...others.map(one => one.subarray(FRAME_HEADER_BYTES))])
    const taken = this.#authorities.taken(block)
    if (taken === block) return fragments
    this.hasReplaced = true
    const [head, tail] = [first.subarray(FRAME_HEADER_BYTES, from), first.subarray(to)]
    // It can be longer than before: what was in the code of Huffman is not any more, and an authority may be new.
    const room = MAX_FRAME_BYTES - head.length - tail.length
    const rest = taken.subarray(room)
    const payload = Buffer.concat([head, taken.subarray(0, room), tail])
    const made = [frameLike(first, HEADERS, rest.length === 0 ? flags | END_HEADERS : flags & ~END_HEADERS, payload)]
    for (let at = 0; at < rest.length; at += MAX_FRAME_BYTES) {
      const part = rest.subarray(at, at + MAX_FRAME_BYTES)
      made.push(frameLike(first, CONTINUATION, at + part.length === rest.length ? END_HEADERS : 0, part))
    }
    return made
  }
}

/** A frame of the same stream. */
function frameLike(frame: Buffer, type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.from(frame.subarray(0, FRAME_HEADER_BYTES))
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  return Buffer.concat([head, payload])
}
