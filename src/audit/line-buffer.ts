import { type ChainEnd, hashOf, lineOf, MAX_LINE_LENGTH, type PendingRecord } from './line.ts'

/** Lines that are made in one turn of the event loop. */
const BATCH = 256
const SIZE_BYTES = 128 * 1_024
/** A character of a line has up to three bytes, and a line a line break. */
const BYTES_PER_CHARACTER = 3
const LINE_BREAK = 0x0a

/** Whole lines that follow a chain. */
export interface FilledLines {
  /** The bytes of the buffer that they take: until the next `fill`. */
  readonly bytes: Buffer
  /** How many of the records are in them, from the first one on. */
  readonly count: number
  readonly end: ChainEnd
  /** The last one that is signed, if one is. */
  readonly signed: ChainEnd | undefined
}

/**
 * Makes the lines of records, one batch after the other, in the same memory.
 *
 * All that a line takes is done here, many lines after another, and nothing while a flow opens: between other work, the same takes four
 * times as long.
 */
export class LineBuffer {
  readonly #sign: (bytes: Uint8Array) => Uint8Array
  readonly #buffer = Buffer.allocUnsafeSlow(SIZE_BYTES)

  constructor(sign: (bytes: Uint8Array) => Uint8Array) {
    this.#sign = sign
  }

  /** The lines of the first `most` records, or as many as there is room for; at least one. What the log writes about itself is signed. */
  fill(records: readonly PendingRecord[], most: number, after: ChainEnd): FilledLines {
    const buffer = this.#buffer
    let [length, count, end]: [number, number, ChainEnd] = [0, 0, after]
    let signed: ChainEnd | undefined
    const limit = Math.min(most, BATCH)
    for (; count < limit && length + MAX_LINE_LENGTH * BYTES_PER_CHARACTER < SIZE_BYTES; count += 1) {
      const record = records[count] as PendingRecord
      const isOwn = record.name.startsWith('audit-')
      const begin = length
      length += buffer.write(lineOf(record, end, isOwn ? this.#sign : undefined), begin)
      end = { seq: end.seq + 1, sha256: hashOf(buffer.subarray(begin, length)) }
      if (isOwn) signed = end
      buffer[length] = LINE_BREAK
      length += 1
    }
    return { bytes: buffer.subarray(0, length), count, end, signed }
  }
}
