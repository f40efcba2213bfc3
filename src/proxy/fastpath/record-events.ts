import type { RecordReader } from './record-reader.ts'
import type { RecordWriter } from './record-writer.ts'

/** The two directions of the records of one connection. */
export interface RecordEnds {
  readonly writer: RecordWriter
  readonly reader: RecordReader
}

/** Who uses a fast-path connection. Each record is told once, in the order of sending, to who attends when it comes. */
export interface RecordConnectionEvents {
  readonly hello?: () => void
  /** From this offset on the other end's direction comes here; undefined if it stays on the stream. */
  readonly started?: (offset: number | undefined) => void
  /** The other end asks for a flow: `grant` or `refuse` is to follow. */
  readonly asked?: (open: Buffer) => void
  /** What was asked for is granted; undefined, or it is refused and this says why. */
  readonly answered?: (refusal: Buffer | undefined) => void
  /** `bytes` are the taker's until it calls `done`. Returns false to be given no more until `resume`. */
  readonly data?: (bytes: Buffer, done: () => void) => boolean
  readonly ended?: () => void
  /** Both directions of a flow on a pooled fast-path connection have ended, and nothing more of it is told. */
  readonly onIdle?: () => void
  /** More of what was sent has left this process. */
  readonly passed?: () => void
  /** There is room again, after `send` returned false. */
  readonly drained?: () => void
  /** The connection is gone, or something came that must not. Nothing is told after it. */
  readonly closed: (err: Error) => void
}

export interface RecordConnectionOptions {
  /** Which end this is: the opener connected it. */
  readonly end: 'opener' | 'other'
  /** Whether it carries one flow after another, each asked for; else it goes on with one that began on a stream. */
  readonly isPooled: boolean
}
