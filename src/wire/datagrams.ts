import { ErrorCode, WarrenError } from '../core/index.ts'
import { ByteQueue } from './byte-queue.ts'
import type { Framing } from './frame-writer.ts'

/** The largest datagram, in bytes: the maximum of UDP over IPv4. */
export const MAX_DATAGRAM_BYTES = 65_507

const LENGTH_BYTES = 2

/** A 2-byte big-endian length before each payload: datagrams cross a stream socket in this form, as DNS crosses TCP. */
export const datagramFraming: Framing = {
  frameBytes: payloadBytes => LENGTH_BYTES + payloadBytes,
  write: (payload, out, at) => {
    out.writeUInt16BE(payload.length, at)
    out.set(payload, at + LENGTH_BYTES)
  }
}

/** Returns `payload` after its length. Throws MESSAGE_TOO_LARGE above MAX_DATAGRAM_BYTES. */
export function encodeDatagram(payload: Uint8Array): Buffer {
  if (payload.length > MAX_DATAGRAM_BYTES) throw datagramTooLarge(payload.length)
  const frame = Buffer.allocUnsafe(datagramFraming.frameBytes(payload.length))
  datagramFraming.write(payload, frame, 0)
  return frame
}

export function datagramTooLarge(bytes: number): WarrenError {
  return new WarrenError(
    ErrorCode.MessageTooLarge,
    `a datagram of ${bytes} bytes exceeds the limit of ${MAX_DATAGRAM_BYTES}`
  )
}

/** Splits a byte stream into the datagrams of `encodeDatagram`. Holds at most one incomplete datagram and one chunk. */
export class DatagramParser {
  readonly #bytes = new ByteQueue()

  /**
   * Calls `each` for every datagram that `chunk` completes; the caller must refuse one above MAX_DATAGRAM_BYTES.
   * Payloads share memory with `chunk`.
   */
  push(chunk: Buffer, each: (payload: Buffer) => void): void {
    const bytes = this.#bytes
    // Most chunks hold whole datagrams, which need no queue.
    const whole = bytes.length === 0 ? cutWhole(chunk, each) : 0
    bytes.push(whole === 0 ? chunk : chunk.subarray(whole))
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

/** Calls `each` for the whole datagrams at the front, and returns the number of their bytes. */
function cutWhole(chunk: Buffer, each: (payload: Buffer) => void): number {
  let at = 0
  while (at + LENGTH_BYTES <= chunk.length) {
    const start = at + LENGTH_BYTES
    const end = start + chunk.readUInt16BE(at)
    if (end > chunk.length) break
    each(chunk.subarray(start, end))
    at = end
  }
  return at
}
