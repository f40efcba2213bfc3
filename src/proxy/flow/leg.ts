import type { Http2Stream } from 'node:http2'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Cut, type CutKind, codeOf, cutOf } from './cut.ts'
import { resetSocket } from './reset-socket.ts'

/** One side of a flow: a workload's socket, or the stream to the other agent. */
export interface Leg {
  readonly stream: Duplex
  /** Asked when `stream` emits `end`: whether the other side ended it, and it was not merely cut short. */
  readonly isCleanEnd: () => boolean
  /** Why it failed, once it did. */
  readonly failure: (err: Error | undefined) => Cut
  /** Ends both directions at once; what is buffered is dropped. */
  readonly abort: (kind: CutKind) => void
}

/**
 * A workload's socket.
 *
 * Aborting a TCP socket sends RST. AF_UNIX has none: its peer reads what it already received, then the end of file (or
 * ECONNRESET, if it had written what we did not read), and gets EPIPE when it writes. That differs from a clean end, at
 * which our side stays open for reading until the workload has ended too.
 */
export function socketLeg(socket: Socket): Leg {
  return {
    stream: socket,
    isCleanEnd: () => true,
    failure: err => ({ kind: 'reset', text: `reset by the workload${err === undefined ? '' : ` (${codeFrom(err)})`}` }),
    abort: () => {
      if (socket.remoteAddress !== undefined && socket instanceof Socket) resetSocket(socket)
      else socket.destroy()
    }
  }
}

/** A CONNECT stream to the other agent. */
export function streamLeg(stream: Http2Stream): Leg {
  return {
    stream,
    // The streams of a lost session, and those that are reset with NO_ERROR, end as if they were complete.
    isCleanEnd: () => !stream.aborted && stream.rstCode === 0,
    failure: () => cutOf(stream.rstCode),
    abort: kind => {
      if (stream.closed) return
      // `close` first ends our side, and Node sends that end in a frame before the reset: the other agent would take
      // half an answer for a whole one.
      stream.end = () => stream
      stream.close(codeOf(kind))
    }
  }
}

function codeFrom(err: Error): string {
  return 'code' in err && typeof err.code === 'string' ? err.code : err.message
}
