import type { Http2Stream } from 'node:http2'
import { ByteQueue } from '../../wire/index.ts'
import { type CutKind, codeOf } from '../flow/index.ts'

/** Who asks for such a stream, in a session. */
export const FAST_PATH_CUTS_PATH = '/warren/fast-path-cuts'
/** Fast-path connection, number of the flow on it, HTTP/2 error code: four bytes each, big-endian. */
const CUT_BYTES = 12
/** Of an agent that does not read them: those beyond it are not told why a flow was cut. */
const MAX_WAITING_BYTES = 256 * 1024

export interface FastPathCut {
  readonly connectionId: number
  /** Which of the flows that the connection has carried, from 1 on. */
  readonly number: number
  readonly kind: CutKind
}

/**
 * Says on the session which flow of a pooled fast-path connection is cut, and why: on the connection itself it would
 * have to wait behind all that a workload which has stalled does not take.
 */
export class FastPathCuts {
  readonly #stream: Http2Stream

  /** `onCut` is told each cut of the other end. */
  constructor(stream: Http2Stream, onCut: (connectionId: number, number: number, code: number) => void) {
    this.#stream = stream
    const queue = new ByteQueue()
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      queue.push(chunk)
      while (queue.length >= CUT_BYTES) {
        const cut = queue.take(CUT_BYTES)
        onCut(cut.readUInt32BE(0), cut.readUInt32BE(4), cut.readUInt32BE(8))
      }
    })
  }

  /** Both ends must be there for fast-path connections to be kept. */
  get isOpen(): boolean {
    const { destroyed, closed, writableEnded, readableEnded } = this.#stream
    return !destroyed && !closed && !writableEnded && !readableEnded
  }

  send({ connectionId, number, kind }: FastPathCut): void {
    if (!this.isOpen || this.#stream.writableLength > MAX_WAITING_BYTES) return
    const cut = Buffer.alloc(CUT_BYTES)
    cut.writeUInt32BE(connectionId, 0)
    cut.writeUInt32BE(number, 4)
    cut.writeUInt32BE(codeOf(kind), 8)
    this.#stream.write(cut)
  }

  onClose(callback: () => void): void {
    this.#stream.once('close', callback)
  }

  /** Ends it, so that its session can end. */
  close(): void {
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end()
  }
}
