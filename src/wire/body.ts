import type { Readable } from 'node:stream'
import { ErrorCode, WarrenError } from '../core/index.ts'

export interface ReadBodyOptions {
  /** The most that it may hold, in bytes. */
  readonly maxBytes: number
  /** Gives it up, and rejects with its reason. */
  readonly signal: AbortSignal
}

/**
 * All bytes up to the end of what `stream` carries, also when all of it, the end included, has come before this is called.
 *
 * Reads by events. An iterator of a stream of HTTP/2 that begins after both ends are done finds it closed while bytes wait,
 * and loses them; over a carrier that is no socket of the system a whole answer comes so.
 *
 * A reset of HTTP/2 with NO_ERROR cannot be told from an end: what is read must be checked as a whole, as by a signature.
 *
 * Holds no more than `maxBytes` and one chunk. Rejects with MESSAGE_TOO_LARGE as soon as there is more, with
 * STREAM_TRUNCATED if the stream closes or is reset before its end, with the failure of the stream, or with the signal's
 * reason. Whatever it settles with, it leaves no listener behind, and what still comes is dropped; the caller owns the stream.
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
  // A reset of HTTP/2 is followed by an end as well.
  const onEnd = (): void => (wasReset(stream) ? onBroken() : resolve(Buffer.concat(chunks, size)))
  const onBroken = (): void => reject(new WarrenError(ErrorCode.StreamTruncated, 'the stream ended inside a body'))
  const onAbort = (): void => reject(signal.reason)
  stream.on('data', onData).on('end', onEnd).on('error', reject).on('aborted', onBroken).on('close', onBroken)
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) onAbort()
    // An empty one may be over already.
    else if (stream.readableEnded && !stream.readableDidRead) onEnd()
    // Its bytes went to somebody else, or there will be no end.
    else if (stream.readableEnded || stream.destroyed) onBroken()
    else stream.resume()
    return await promise
  } finally {
    stream.off('data', onData).off('end', onEnd).off('error', reject).off('aborted', onBroken).off('close', onBroken)
    signal.removeEventListener('abort', onAbort)
  }
}

function wasReset(stream: Readable): boolean {
  // Of a stream of HTTP/2; NO_ERROR is 0.
  const code: unknown = 'rstCode' in stream ? stream.rstCode : 0
  return (
    stream.readableAborted || ('aborted' in stream && stream.aborted === true) || (code !== undefined && code !== 0)
  )
}
