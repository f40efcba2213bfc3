import type { Http2Stream } from 'node:http2'
import { ByteQueue } from '../../wire/index.ts'
import { type CutKind, codeOf } from '../flow/index.ts'

/** Path of the request for such a stream, in a session. */
export const FAST_PATH_CUTS_PATH = '/warren/fast-path-cuts'
/** Fast-path connection, number of the flow on it, HTTP/2 error code: four bytes each, big-endian. */
const CUT_BYTES = 12
/** Maximum that waits for an agent that does not read: further cuts are not reported with a reason. */
const MAX_WAITING_BYTES = 256 * 1024

export interface FastPathCut {
  readonly connectionId: number
  /** Number of the flow among those that the connection has carried, from 1 on. */
  readonly number: number
  readonly kind: CutKind
}

/**
 * Reports on the session which flow of a pooled fast-path connection is cut, and why. On the connection itself the
 * report would have to wait behind all the data that a stalled workload does not accept.
 */
export class FastPathCuts {
  readonly #stream: Http2Stream

  /** `onCut` is called for each cut of the other end. */
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

  /** Whether both directions are open; else no fast-path connections are pooled. */
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

  /** Closes it, so that its session can end. */
  close(): void {
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end()
  }
}
