import type { Duplex } from 'node:stream'
import { pipe } from 'it-pipe'
import { ErrorCode, raceAbort, WarrenError, within } from '../core/index.ts'
import { encodeFrame, readFrame } from '../wire/index.ts'

/** The messages of the other side; each is read from the stream only when it is asked for. */
export type Received = AsyncGenerator<Buffer, never>

/** One side of an exchange: reads the messages of the other side, yields its own, and returns the result. */
export type Dialogue<Result> = (received: Received) => AsyncGenerator<Uint8Array, Result>

export interface ExchangeOptions {
  /** The largest message that is accepted from the other side. */
  readonly maxBytes: number
  /** The most messages that are accepted from the other side. */
  readonly maxMessages: number
  /** Deadline of the whole exchange. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Runs a dialogue over a stream, in frames, and ends this side of the stream when the dialogue has ended.
 *
 * At most one message of each side is in memory: none is read before the dialogue asks for it, and the dialogue yields none
 * before the stream has taken the last. Rejects with MESSAGE_TOO_LARGE, STREAM_TRUNCATED, MESSAGE_MALFORMED above `maxMessages`,
 * the error of the dialogue, a `TimeoutError` or the reason of the signal, and destroys the stream. Otherwise the caller
 * keeps the stream.
 */
export async function exchange<Result>(
  stream: Duplex,
  { maxBytes, maxMessages, timeoutMs, signal }: ExchangeOptions,
  dialogue: Dialogue<Result>
): Promise<Result> {
  // A read reports the errors of the stream; a later error must not end the process.
  stream.on('error', () => {})
  try {
    return await within(timeoutMs, [signal], limit =>
      pipe(
        () => receive(stream, maxBytes, maxMessages, limit),
        dialogue,
        messages => send(stream, messages, limit)
      )
    )
  } catch (err) {
    stream.destroy()
    throw err
  }
}

async function* receive(stream: Duplex, maxBytes: number, maxMessages: number, signal: AbortSignal): Received {
  for (let count = 0; count < maxMessages; count += 1) yield await readFrame(stream, maxBytes, signal)
  throw new WarrenError(ErrorCode.MessageMalformed, `the exchange has no more than ${maxMessages} messages`)
}

async function send<Result>(
  stream: Duplex,
  messages: AsyncGenerator<Uint8Array, Result>,
  signal: AbortSignal
): Promise<Result> {
  for (;;) {
    const message = await messages.next()
    if (message.done === true) {
      stream.end()
      return message.value
    }
    const taken = Promise.withResolvers<void>()
    // Also after a failure: the other side may have answered and closed before it had read everything.
    const isFull = !stream.write(encodeFrame(message.value), () => taken.resolve())
    if (isFull) await raceAbort(taken.promise, signal)
  }
}
