import type { RecordReader } from './record-reader.ts'
import type { RecordWriter } from './record-writer.ts'

/** The record that may come next: `start` to `ended` for a flow from a stream, `idle` to `idle` on a pooled connection. */
export type Phase = 'hello' | 'start' | 'idle' | 'answer' | 'deciding' | 'data' | 'ended'

/** The two directions of the records of one connection. */
export interface RecordEnds {
  readonly writer: RecordWriter
  readonly reader: RecordReader
}

/**
 * Receives the events of a fast-path connection. Each record causes one event, in the order of sending, for the
 * subscriber at that moment.
 */
export interface RecordConnectionEvents {
  readonly hello?: () => void
  /** The other end's direction arrives here from this offset on; undefined if it stays on the stream. */
  readonly started?: (offset: number | undefined) => void
  /**
   * The other end asks for a flow: `grant` or `refuse` must follow. `first` are bytes of the flow, which nobody may see before
   * it is granted.
   */
  readonly asked?: (open: Buffer, first: Buffer) => void
  /** The flow is granted if `refusal` is undefined, else refused for that reason. */
  readonly answered?: (refusal: Buffer | undefined) => void
  /** The receiver owns `bytes` until it calls `done`. Returns false to receive no more until `resume`. */
  readonly data?: (bytes: Buffer, done: () => void) => boolean
  readonly ended?: () => void
  /** Both directions of a flow on a pooled fast-path connection have ended; it causes no further events. */
  readonly onIdle?: () => void
  /** More sent bytes have left this process. */
  readonly passed?: () => void
  /** There is room again, after `send` returned false. */
  readonly drained?: () => void
  /** The connection has closed, or an illegal record arrived. No event follows it. */
  readonly closed: (err: Error) => void
}

export interface RecordConnectionOptions {
  /** Which end this is: the opener connected it. */
  readonly end: 'opener' | 'other'
  /** Whether it carries one flow after another, each asked for; else it continues one that began on a stream. */
  readonly isPooled: boolean
  /** Whether the records that open and grant a flow may bring bytes of it. @default false */
  readonly takesFirstBytes?: boolean
}
