import type { Kind } from './format.ts'
import { bufferPool } from './pool.ts'
import type { RecordReader } from './record-reader.ts'

/** Receives what records hold, in the order of sending. */
export interface RecordContents {
  /** The content of records of data; the receiver owns it until it calls `done`. */
  readonly data: (content: Buffer, done: () => void) => void
  readonly control: (kind: Kind, content: Buffer) => void
}

/** Opens the records that `bytes` completes, in memory of the pool. Throws RecordViolation, and what `to` throws. */
export function openRecords(reader: RecordReader, bytes: Buffer, to: RecordContents): void {
  const out = bufferPool.take()
  let users = 1
  let written = 0
  const done = (): void => {
    users -= 1
    if (users === 0) bufferPool.give(out)
  }
  const tell = (until: number): void => {
    if (until === written) return
    const content = out.subarray(written, until)
    written = until
    users += 1
    to.data(content, done)
  }
  try {
    const size = reader.read(bytes, out, (kind, content, before) => {
      tell(before)
      to.control(kind, content)
    })
    tell(size)
  } finally {
    done()
  }
}
