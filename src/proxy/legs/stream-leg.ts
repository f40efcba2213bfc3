import type { Http2Stream } from 'node:http2'
import { type CutKind, codeOf, cutOf } from '../flow/index.ts'
import { DuplexLeg } from './duplex-leg.ts'

/** A CONNECT stream to the other agent. */
export function streamLeg(stream: Http2Stream): DuplexLeg {
  return new DuplexLeg(stream, {
    // The streams of a lost session, and those that are reset with NO_ERROR, end as if they were complete.
    isCleanEnd: () => !stream.aborted && stream.rstCode === 0,
    failure: () => cutOf(stream.rstCode),
    reset: kind => abortStream(stream, kind)
  })
}

/** Resets a stream, with the reason. */
export function abortStream(stream: Http2Stream, kind: CutKind): void {
  if (stream.closed) return
  // `close` first ends our side, and Node sends that end in a frame before the reset: the other agent would take
  // half an answer for a whole one.
  stream.end = () => stream
  stream.close(codeOf(kind))
}
