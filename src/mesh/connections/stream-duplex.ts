import { Duplex } from 'node:stream'
import type { Stream } from '@libp2p/interface'

/** The largest single send: the stream buffers up to this size of what the window does not accept. */
const SEND_BYTES = 64 * 1024

/** The error that a TCP socket reports for a peer that vanished or reset; so callers handle both in the same way. */
function resetError(cause?: unknown): Error {
  return Object.assign(new Error('the peer or the link broke the stream', { cause }), { code: 'ECONNRESET' })
}

/**
 * A libp2p stream as a Node Duplex: half-close and back-pressure in each direction, bounded memory.
 *
 * The readable side ends only if the peer ended it and everything before that was delivered; any other end is an error
 * with code ECONNRESET. A reader that stalls holds at most two windows of the stream.
 */
export class StreamDuplex extends Duplex {
  readonly #stream: Stream
  #sawFin: boolean
  #finalCalled = false
  // The reader's buffer is full. Distinct from the stream's own status, which must not change while it is resuming.
  #wantsPause = false
  #resuming = false
  // Ends the wait of a write, at the first of drain and close.
  #drained: (() => void) | undefined

  constructor(stream: Stream) {
    super({ allowHalfOpen: true, readableHighWaterMark: SEND_BYTES, writableHighWaterMark: SEND_BYTES })
    this.#stream = stream
    // A FIN that arrived before this object existed. A dead link reads 'closed' here too, but is then no longer 'open'.
    this.#sawFin = stream.status === 'open' && stream.remoteWriteStatus === 'closed'
    stream.addEventListener('remoteCloseWrite', () => {
      // This is not the end yet: the buffered data comes after this event.
      this.#sawFin = true
    })
    stream.addEventListener('end', () => {
      this.#onEnd()
    })
    stream.addEventListener('close', event => {
      this.#onClose(event.error)
    })
    stream.addEventListener('drain', () => {
      // Runs after the stream has tried to send its buffer. A connection that can take more notifies all of its streams, and
      // a stream without a window would otherwise take a part at each event, until it fails at its limit.
      queueMicrotask(() => {
        if (!stream.writableNeedsDrain) this.#drained?.()
      })
    })
    stream.addEventListener('message', event => {
      this.#onMessage(event.data.subarray())
    })
    if (stream.status !== 'open') this.destroy(resetError())
    else if (stream.readableEnded) this.#onEnd()
  }

  override _read(): void {
    this.#wantsPause = false
    if (!this.#resuming && this.#stream.readStatus === 'paused') this.#resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (err?: Error | null) => void): void {
    let offset = 0
    const next = (): void => {
      this.#drained = undefined
      while (offset < chunk.length) {
        if (this.#stream.writeStatus !== 'writable') {
          callback(resetError())
          return
        }
        const part = chunk.subarray(offset, offset + SEND_BYTES)
        offset += part.length
        let more: boolean
        try {
          more = this.#stream.send(part)
        } catch (err) {
          callback(resetError(err))
          return
        }
        // The event is used, not onDrain(), which resolves at once after the first time. It may also have fired already.
        if (!more && this.#stream.writableNeedsDrain) {
          this.#drained = next
          return
        }
      }
      callback()
    }
    next()
  }

  override _final(callback: (err?: Error | null) => void): void {
    if (this.#stream.writeStatus !== 'writable') {
      callback(resetError())
      return
    }
    this.#finalCalled = true
    this.#stream.close().then(
      () => {
        // close() also resolves when an abort emptied the buffer that it was waiting for.
        const { status } = this.#stream
        callback(status === 'aborted' || status === 'reset' ? resetError() : null)
      },
      (err: unknown) => {
        callback(resetError(err))
      }
    )
  }

  override _destroy(err: Error | null, callback: (err?: Error | null) => void): void {
    // After a clean end of both sides the stream is closed, and this does nothing.
    this.#stream.abort(err ?? new Error('destroyed'))
    this.#drained = undefined
    callback(err)
  }

  #onMessage(bytes: Uint8Array): void {
    if (this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) return
    this.#wantsPause = true
    // A pause inside resume() would have no effect: resume() grants the peer a window after it has delivered, in any case,
    // and the buffer would overrun. #resume() does it afterwards.
    if (!this.#resuming) this.#pause()
  }

  #pause(): void {
    if (this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  #resume(): void {
    this.#resuming = true
    try {
      this.#stream.resume()
    } catch (err) {
      // The stream closed during the call; if that was not a clean end, the close event has reported it already.
      if (!this.#stream.readableEnded) this.destroy(resetError(err))
    } finally {
      this.#resuming = false
    }
    if (this.#wantsPause) this.#pause()
  }

  #onEnd(): void {
    const { status } = this.#stream
    // An abort or a reset drops the buffered data and then also emits 'end'.
    if (this.#sawFin && status !== 'aborted' && status !== 'reset') this.push(null)
    else this.destroy(resetError())
  }

  #onClose(err: Error | undefined): void {
    // A dying link closes the stream without an error: a close is clean only with a FIN in each direction. `_final` waits
    // until ours was sent.
    if (err !== undefined || !this.#sawFin || !this.#finalCalled) this.destroy(resetError(err))
    this.#drained?.()
  }
}
