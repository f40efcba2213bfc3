import type { ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import type { FlowRoom } from '../flow/index.ts'
import type { Dialled } from '../tls/index.ts'
import { type AskOptions, ask } from './ask.ts'
import type { FlowPlaces } from './flow-places.ts'
import { StreamWindows } from './stream-windows.ts'

/** The requests for flows that the other agent has not answered yet, and the streams of those that it has. */
export class FlowAsks {
  readonly #dialled: Dialled
  readonly #places: FlowPlaces
  readonly #windows: StreamWindows
  readonly #pending = new Set<(err: Error) => void>()
  readonly #onEnd: () => void

  /** `onEnd` is called when a stream has ended and has given its place back. */
  constructor(dialled: Dialled, places: FlowPlaces, onEnd: () => void) {
    this.#dialled = dialled
    this.#places = places
    this.#windows = new StreamWindows(dialled.session)
    this.#onEnd = onEnd
  }

  /** Asks on a stream, which takes a place for a flow. Resolves once it is granted; rejects with the error. */
  async ask(
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
    room?: FlowRoom,
    read?: AskOptions['read']
  ): Promise<ClientHttp2Stream> {
    this.#places.take()
    this.#windows.opened(room)
    const onClose = (): void => {
      this.#windows.closed()
      this.#places.give()
      this.#onEnd()
    }
    const { answered, giveUp } = ask(this.#dialled.session, headers, signal, { onClose, read })
    return await this.waiting(giveUp, () => answered)
  }

  /** Waits for an answer; `giveUp` is called if the other agent does not answer. */
  async waiting<T>(giveUp: (err: Error) => void, answered: () => Promise<T>): Promise<T> {
    this.#pending.add(giveUp)
    try {
      return await answered()
    } finally {
      this.#pending.delete(giveUp)
    }
  }

  /** Rejects all that wait. */
  reject(err: Error): void {
    for (const giveUp of this.#pending) giveUp(err)
  }
}
