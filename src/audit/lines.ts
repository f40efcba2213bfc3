import { createReadStream } from 'node:fs'
import { ErrorCode, fileFault, WarrenError } from '../core/index.ts'
import { MAX_LINE_LENGTH } from './line.ts'

/** One line of a file, without its line break. */
export interface RawLine {
  readonly bytes: Buffer
  /** Offset of the byte after the line and its line break. */
  readonly endsAt: number
  /** Whether it has a line break. Only the last line of a file may have none. */
  readonly isWhole: boolean
}

const LINE_BREAK = 0x0a
/** A character has up to four bytes. Of a longer line only the beginning is read: it is not one of an audit log. */
const MAX_LINE_BYTES = 4 * MAX_LINE_LENGTH

/** The lines of a file from an offset on. Throws INVALID_ARGUMENT if it cannot be read. */
export async function* linesOf(path: string, from = 0): AsyncGenerator<RawLine> {
  const stream = createReadStream(path, { start: from, highWaterMark: 256 * 1_024 })
  let [rest, skipped]: [Buffer, number] = [Buffer.alloc(0), 0]
  let at = from
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let begin = 0
      for (let end = chunk.indexOf(LINE_BREAK); end !== -1; end = chunk.indexOf(LINE_BREAK, begin)) {
        const part = chunk.subarray(begin, end)
        const bytes = rest.length === 0 ? part : Buffer.concat([rest, part])
        at += skipped + bytes.length + 1
        yield { bytes, endsAt: at, isWhole: true }
        rest = Buffer.alloc(0)
        skipped = 0
        begin = end + 1
      }
      const left = chunk.subarray(begin)
      const room = Math.max(0, MAX_LINE_BYTES - rest.length)
      if (left.length > 0) rest = Buffer.concat([rest, left.subarray(0, room)])
      skipped += Math.max(0, left.length - room)
    }
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot read ${path}: ${why}`, { cause, hint })
  }
  if (rest.length > 0) yield { bytes: rest, endsAt: at + skipped + rest.length, isWhole: false }
}
