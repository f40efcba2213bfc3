import type { Duplex } from 'node:stream'
import { ErrorCode, WarrenError } from '../core/index.ts'

/** Bytes before a payload. */
export const FRAME_HEADER_BYTES = 4

/**
 * Returns `payload` after a 4-byte big-endian length: the framing of every exchange that is neither HTTP nor libp2p.
 */
export function encodeFrame(payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length)
  frame.writeUInt32BE(payload.length, 0)
  frame.set(payload, FRAME_HEADER_BYTES)
  return frame
}

/**
 * Reads exactly one frame from the front of `stream` and leaves later bytes unread.
 *
 * The length is checked before anything is buffered for it, so a peer cannot make us hold more than `maxBytes`. Rejects
 * with MESSAGE_TOO_LARGE, with STREAM_TRUNCATED if the stream ends first, or with the signal's reason. The stream must
 * not be flowing; it is left paused, and the caller still owns it.
 */
export async function readFrame(stream: Duplex, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const header = await readExactly(stream, FRAME_HEADER_BYTES, signal)
  const length = header.readUInt32BE(0)
  if (length > maxBytes) {
    throw new WarrenError(ErrorCode.MessageTooLarge, `frame of ${length} bytes exceeds the limit of ${maxBytes}`)
  }
  return length === 0 ? Buffer.alloc(0) : await readExactly(stream, length, signal)
}

/**
 * Reads exactly `bytes` bytes from the front of `stream`, which must not be flowing, and leaves what follows unread. For the
 * protocols of others, whose lengths the caller bounds; ours are in frames. Rejects as `readFrame` does.
 */
export async function readExactly(stream: Duplex, bytes: number, signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = []
  let wanted = bytes
  while (wanted > 0) {
    // read(n) returns nothing until n bytes have arrived, and n may exceed the stream's buffer; so read the available
    // bytes.
    const available = Math.min(wanted, stream.readableLength)
    const chunk: Buffer | null = available > 0 ? stream.read(available) : null
    if (chunk !== null) {
      parts.push(chunk)
      wanted -= chunk.length
      continue
    }
    if (stream.readableEnded || stream.destroyed) {
      throw new WarrenError(ErrorCode.StreamTruncated, 'the stream ended inside a frame')
    }
    signal.throwIfAborted()
    await readable(stream, signal)
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}

// Removes its listeners: one for 'readable' would keep data from a later reader of the stream.
function readable(stream: Duplex, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      stream.off('readable', onReadable).off('end', onReadable).off('close', onReadable).off('error', onError)
      signal.removeEventListener('abort', onAbort)
    }
    const onReadable = (): void => {
      leave()
      resolve()
    }
    const onError = (err: Error): void => {
      leave()
      reject(err)
    }
    const onAbort = (): void => {
      leave()
      reject(signal.reason)
    }
    stream.on('readable', onReadable).on('end', onReadable).on('close', onReadable).on('error', onError)
    signal.addEventListener('abort', onAbort)
    // Starts the flow of data into the buffer when nothing has been read yet.
    stream.read(0)
  })
}
