import { ErrorCode, WarrenError } from '../core/index.ts'
import { ByteQueue } from './byte-queue.ts'

/** The largest datagram, in bytes: what fits in UDP over IPv4. */
export const MAX_DATAGRAM_BYTES = 65_507

const LENGTH_BYTES = 2

/**
 * `payload` behind a 2-byte big-endian length: how datagrams cross a stream socket, and DNS crosses TCP.
 *
 * Throws MESSAGE_TOO_LARGE above MAX_DATAGRAM_BYTES.
 */
export function encodeDatagram(payload: Uint8Array): Buffer {
  if (payload.length > MAX_DATAGRAM_BYTES) throw datagramTooLarge(payload.length)
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + payload.length)
  frame.writeUInt16BE(payload.length, 0)
  frame.set(payload, LENGTH_BYTES)
  return frame
}

export function datagramTooLarge(bytes: number): WarrenError {
  return new WarrenError(
    ErrorCode.MessageTooLarge,
    `a datagram of ${bytes} bytes exceeds the limit of ${MAX_DATAGRAM_BYTES}`
  )
}

/** Cuts what `encodeDatagram` made out of a byte stream again. Holds at most one incomplete datagram and one chunk. */
export class DatagramParser {
  readonly #bytes = new ByteQueue()

  /** Calls `each` for every datagram that `chunk` completes; one above MAX_DATAGRAM_BYTES is for the caller to refuse. */
  push(chunk: Buffer, each: (payload: Buffer) => void): void {
    const bytes = this.#bytes
    bytes.push(chunk)
    for (;;) {
      const high = bytes.at(0)
      const low = bytes.at(1)
      if (high === undefined || low === undefined) return
      const length = high * 256 + low
      if (bytes.length < LENGTH_BYTES + length) return
      bytes.skip(LENGTH_BYTES)
      each(bytes.take(length))
    }
  }

  /** Whether a datagram has begun and not ended. */
  get isInside(): boolean {
    return this.#bytes.length > 0
  }
}
