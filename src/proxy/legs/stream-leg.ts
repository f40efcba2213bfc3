import type { Http2Stream } from 'node:http2'
import { keepLittle } from '../../core/index.ts'
import { type Cut, type CutKind, codeOf, cutOf } from '../flow/index.ts'
import { DuplexLeg, type Manner } from './duplex-leg.ts'

/** A CONNECT stream to the other agent. */
export function streamLeg(stream: Http2Stream): DuplexLeg {
  return new DuplexLeg(stream, new StreamManner(stream))
}

class StreamManner implements Manner {
  readonly isAborting = true
  readonly #stream: Http2Stream

  constructor(stream: Http2Stream) {
    this.#stream = stream
  }

  // The streams of a lost session, and those that are reset with NO_ERROR, end as if they were complete.
  isCleanEnd(): boolean {
    return !this.#stream.aborted && this.#stream.rstCode === 0
  }

  // Node closes a stream when both ends have left and arrived, and tells so now and then before `finish`, or without it. Taken for a
  // failure, that would drop what the workload has not read yet, behind which it would see an end.
  hasEndedBoth(): boolean {
    return this.isCleanEnd() && this.#stream.writableEnded && this.#stream.writableLength === 0
  }

  failure(): Cut {
    return cutOf(this.#stream.rstCode)
  }

  keepLittle(): void {
    keepLittle(this.#stream)
  }

  reset(kind: CutKind): void {
    abortStream(this.#stream, kind)
  }
}

/** Resets a stream with the code of `kind`. */
export function abortStream(stream: Http2Stream, kind: CutKind): void {
  if (stream.closed) return
  // `close` first ends our side, and Node sends that end in a frame before the reset: the other agent would mistake
  // half an answer for a whole one.
  stream.end = () => stream
  stream.close(codeOf(kind))
}
