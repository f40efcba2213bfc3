import type { Readable } from 'node:stream'
import { ErrorCode, WarrenError } from '../core/index.ts'

export interface ReadBodyOptions {
  /** Maximum size of the body, in bytes. */
  readonly maxBytes: number
  /** Cancels the read, which rejects with its reason. */
  readonly signal: AbortSignal
}

/**
 * Reads all bytes up to the end of `stream`, also when all of it, the end included, has arrived before the call.
 *
 * Reads by events. An iterator of an HTTP/2 stream that begins after both ends are done finds it closed while bytes
 * wait, and loses them; over a carrier that is not a system socket, a whole answer arrives that way.
 *
 * An HTTP/2 reset with NO_ERROR looks like an end: the content must be checked as a whole, as by a signature.
 *
 * Holds no more than `maxBytes` and one chunk. Rejects with MESSAGE_TOO_LARGE as soon as there is more, with
 * STREAM_TRUNCATED if the stream closes or is reset before its end, with the failure of the stream, or with the
 * signal's reason. When it settles, it removes its listeners, and later bytes are dropped; the caller owns the stream.
 */
export async function readBody(stream: Readable, { maxBytes, signal }: ReadBodyOptions): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let size = 0
  const onData = (chunk: Buffer): void => {
    size += chunk.length
    if (size <= maxBytes) chunks.push(chunk)
    else reject(new WarrenError(ErrorCode.MessageTooLarge, `a body of more than ${maxBytes} bytes`))
  }
  // An HTTP/2 reset also causes an end.
  const onEnd = (): void => (wasReset(stream) ? onBroken() : resolve(Buffer.concat(chunks, size)))
  const onBroken = (): void => reject(new WarrenError(ErrorCode.StreamTruncated, 'the stream ended inside a body'))
  const onAbort = (): void => reject(signal.reason)
  stream.on('data', onData).on('end', onEnd).on('error', reject).on('aborted', onBroken).on('close', onBroken)
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) onAbort()
    // An empty stream may have ended already.
    else if (stream.readableEnded && !stream.readableDidRead) onEnd()
    // Its bytes were read by other code, or there will be no end.
    else if (stream.readableEnded || stream.destroyed) onBroken()
    else stream.resume()
    return await promise
  } finally {
    stream.off('data', onData).off('end', onEnd).off('error', reject).off('aborted', onBroken).off('close', onBroken)
    signal.removeEventListener('abort', onAbort)
  }
}

function wasReset(stream: Readable): boolean {
  // HTTP/2 streams only; NO_ERROR is 0.
  const code: unknown = 'rstCode' in stream ? stream.rstCode : 0
  return (
    stream.readableAborted || ('aborted' in stream && stream.aborted === true) || (code !== undefined && code !== 0)
  )
}
