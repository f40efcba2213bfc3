import type { Stream } from '@libp2p/interface'
import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import { ByteQueue, encodeFrame, FRAME_HEADER_BYTES } from '../../wire/index.ts'

/**
 * Frames with a 4-byte length in each direction over a libp2p stream that may outlive many exchanges.
 *
 * Holds at most `maxWaitingBytes`, whatever the peer sends: above that the stream is aborted. Allows one reader at a time;
 * owns the stream.
 */
export class FrameStream {
  readonly #stream: Stream
  readonly #maxWaitingBytes: number
  readonly #queue = new ByteQueue()
  #failure: unknown
  #ended = false
  #wake = Promise.withResolvers<void>()

  constructor(stream: Stream, maxWaitingBytes: number) {
    this.#stream = stream
    this.#maxWaitingBytes = maxWaitingBytes
    stream.addEventListener('message', ({ data }) => {
      // The original buffer, not a copy: no other code writes to it.
      const bytes = data.subarray()
      this.#queue.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      if (this.#queue.length > maxWaitingBytes) this.#overflow()
      this.#wake.resolve()
    })
    stream.addEventListener('end', () => this.#end())
    stream.addEventListener('close', ({ error }) => {
      this.#failure ??= error
      this.#end()
    })
    if (stream.status !== 'open') this.#end()
  }

  /** Whether another exchange may start: both sides are open, and the peer has sent nothing unexpected. */
  get isFresh(): boolean {
    return !this.#ended && this.#stream.status === 'open' && this.#queue.length === 0
  }

  /** Called once, when the peer has ended its side or the stream has closed. */
  onEnd(listener: () => void): void {
    if (this.#ended) listener()
    else for (const event of ['end', 'close'] as const) this.#stream.addEventListener(event, listener, { once: true })
  }

  /**
   * The next frame, or undefined if the peer ends its side before it begins one. Throws MESSAGE_TOO_LARGE after the header,
   * STREAM_TRUNCATED if the frame is incomplete, or the reason of `signal`; do not use the stream after any of these.
   */
  async read(maxBytes: number, signal: AbortSignal): Promise<Buffer | undefined> {
    if (!(await this.#has(FRAME_HEADER_BYTES, signal))) {
      if (this.#queue.length === 0 && this.#failure === undefined) return undefined
      throw this.#truncated()
    }
    const length = this.#queue.take(FRAME_HEADER_BYTES).readUInt32BE()
    if (length > maxBytes) {
      throw new WarrenError(ErrorCode.MessageTooLarge, `a frame of ${length} bytes exceeds the limit of ${maxBytes}`)
    }
    if (!(await this.#has(length, signal))) throw this.#truncated()
    return this.#queue.take(length)
  }

  /** Sends frames in one piece; resolves when the stream can take more. */
  async write(payloads: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const stream = this.#stream
    if (stream.send(Buffer.concat(payloads.map(encodeFrame)))) return
    const settled = Promise.withResolvers<void>()
    const onDrain = (): void => settled.resolve()
    const onClose = (): void => settled.reject(this.#truncated())
    // The event is used, because stream.onDrain() resolves at once after the first time.
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

  /** Ends our side, and resolves once the peer has ended its own. Later data is dropped, up to the limit. */
  async close(signal: AbortSignal): Promise<void> {
    await this.#stream.close({ signal })
    while (!this.#ended) {
      this.#queue.skip(this.#queue.length)
      await this.#more(signal)
    }
  }

  abort(err: Error): void {
    if (this.#stream.status === 'open') this.#stream.abort(err)
  }

  async #has(bytes: number, signal: AbortSignal): Promise<boolean> {
    while (this.#queue.length < bytes && !this.#ended) await this.#more(signal)
    return this.#queue.length >= bytes
  }

  async #more(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const wake = this.#wake
    const onAbort = (): void => wake.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await wake.promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#wake = Promise.withResolvers<void>()
    }
  }

  #overflow(): void {
    this.#queue.skip(this.#queue.length)
    const err = new WarrenError(
      ErrorCode.MessageTooLarge,
      `more than ${this.#maxWaitingBytes} bytes were not requested`
    )
    this.#failure ??= err
    this.abort(err)
  }

  #end(): void {
    this.#ended = true
    this.#wake.resolve()
  }

  #truncated(): unknown {
    return this.#failure ?? new WarrenError(ErrorCode.StreamTruncated, 'the stream ended inside an exchange')
  }
}
