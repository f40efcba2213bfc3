import type { Stream } from '@libp2p/interface'
import { decode, encode } from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import { ErrorCode, raceAbort, WarrenError } from '../core/index.ts'

// A varint of a length up to 2 MB, with room to spare.
const PREFIX_BYTES = 8

/**
 * Reads the one frame that the peer sends: a varint length and so many bytes.
 *
 * Holds at most `maxBytes` and a few more, whatever the peer sends. STREAM_TRUNCATED if it stops before, libp2p's
 * InvalidDataLengthError if the frame is larger.
 */
export async function readFrame(stream: Stream, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const frame = await pipe(
    chunks(stream, maxBytes + PREFIX_BYTES, signal),
    source => decode(source, { maxDataLength: maxBytes }),
    async frames => {
      for await (const one of frames) return one.subarray()
      throw new WarrenError(ErrorCode.StreamTruncated, 'the peer sent no message')
    }
  )
  return frame
}

/** Sends one frame; resolves when the connection has taken all of it. */
export async function writeFrame(stream: Stream, payload: Uint8Array, signal: AbortSignal): Promise<void> {
  await pipe([payload], encode, async frames => {
    for await (const frame of frames) await send(stream, frame.subarray(), signal)
  })
}

/** Sends `bytes` and waits until the stream can take more. */
async function send(stream: Stream, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  if (stream.send(bytes)) return
  const settled = Promise.withResolvers<void>()
  const onClose = (): void => {
    settled.reject(new WarrenError(ErrorCode.StreamTruncated, 'the stream closed while it was written'))
  }
  const onDrain = (): void => {
    settled.resolve()
  }
  // The event, for stream.onDrain() resolves at once after the first time.
  stream.addEventListener('drain', onDrain)
  stream.addEventListener('close', onClose)
  try {
    if (stream.status !== 'open') onClose()
    else if (!stream.writableNeedsDrain) onDrain()
    await raceAbort(settled.promise, signal)
  } finally {
    stream.removeEventListener('drain', onDrain)
    stream.removeEventListener('close', onClose)
  }
}

/** What arrives on the stream, up to `maxBytes` in all, above which it is aborted. */
async function* chunks(stream: Stream, maxBytes: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const queue: Uint8Array[] = []
  let received = 0
  let ended = false
  let failure: unknown
  let wake = Promise.withResolvers<void>()
  const onMessage = (event: { data: { subarray(): Uint8Array } }): void => {
    const bytes = event.data.subarray()
    received += bytes.length
    if (received > maxBytes) {
      failure ??= new WarrenError(ErrorCode.MessageTooLarge, `the peer sent more than ${maxBytes} bytes`)
    } else {
      queue.push(bytes)
    }
    wake.resolve()
  }
  const onEnd = (): void => {
    ended = true
    wake.resolve()
  }
  const onClose = (event: { error?: Error | undefined }): void => {
    failure ??= event.error
    ended = true
    wake.resolve()
  }
  stream.addEventListener('message', onMessage)
  stream.addEventListener('end', onEnd)
  stream.addEventListener('close', onClose)
  try {
    if (stream.readableEnded || stream.status !== 'open') ended = stream.readBufferLength === 0
    while (true) {
      const next = queue.shift()
      if (next !== undefined) yield next
      else if (failure !== undefined) throw failure
      else if (ended) return
      else {
        await raceAbort(wake.promise, signal)
        wake = Promise.withResolvers<void>()
      }
    }
  } finally {
    stream.removeEventListener('message', onMessage)
    stream.removeEventListener('end', onEnd)
    stream.removeEventListener('close', onClose)
  }
}
