import type { Http2Session } from 'node:http2'
import type { FlowRoom } from '../flow/index.ts'
import { SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from '../tls/index.ts'

/** A window below this would be updated for each packet. Not below the window of a session divided by its most streams. */
const MIN_WINDOW_BYTES = 4 * 1024
/** A stream gets this part of what is left, so that streams that stall one after the other never use all of it. */
const PART = 16
const LOOK_MS = 1_000

/**
 * Keeps the bytes that the streams of a session have in flight or waiting within `SESSION_WINDOW_BYTES`: each stream is
 * granted less as there are more, and as more waits.
 *
 * The window of HTTP/2 for a session does not help: Node extends it as soon as data arrives, read or not, so that a
 * stalled stream does not stop the others.
 */
export class StreamWindows {
  readonly #session: Http2Session
  #streams = 0
  #windowBytes = STREAM_WINDOW_BYTES
  /** Of the flow that began last; all of them are charged to the same session. */
  #room: FlowRoom | undefined
  #looking: NodeJS.Timeout | undefined

  constructor(session: Http2Session) {
    this.#session = session
    session.once('close', () => clearInterval(this.#looking))
  }

  /**
   * A stream begins, for a flow with `room` if it is known. Must be called before the other agent may send on it, so that
   * it has learned of the window.
   */
  opened(room?: FlowRoom): void {
    this.#streams += 1
    this.charge(room)
  }

  /** The flow of a stream that has begun has this room. */
  charge(room: FlowRoom | undefined): void {
    this.#room = room ?? this.#room
    const fitting = this.#fitting(this.#streams)
    if (fitting < this.#windowBytes) this.#set(fitting)
  }

  /** One function for all streams. */
  readonly closed = (): void => {
    this.#streams -= 1
  }

  /** A power of two, so that most streams come and go without a change. */
  #fitting(streams: number): number {
    const share = SESSION_WINDOW_BYTES / Math.max(1, streams)
    const left = (SESSION_WINDOW_BYTES - (this.#room?.sessionBytes ?? 0)) / PART
    const most = Math.min(STREAM_WINDOW_BYTES, share, left)
    return most <= MIN_WINDOW_BYTES ? MIN_WINDOW_BYTES : 2 ** Math.floor(Math.log2(most))
  }

  #set(bytes: number): void {
    const session = this.#session
    if (session.destroyed || session.closed) return
    this.#windowBytes = bytes
    session.settings({ initialWindowSize: bytes })
    if (bytes < STREAM_WINDOW_BYTES) this.#looking ??= setInterval(() => this.#look(), LOOK_MS).unref()
  }

  // Later than they shrink: each change is a frame, and an answer. Node closes a session with ten that are not answered,
  // and they can shrink eight times.
  #look(): void {
    if (this.#session.pendingSettingsAck) return
    const fitting = this.#fitting(this.#streams * 2)
    if (fitting > this.#windowBytes) this.#set(fitting)
    if (this.#windowBytes < STREAM_WINDOW_BYTES) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }
}
