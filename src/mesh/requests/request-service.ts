import type { Connection, Stream } from '@libp2p/interface'
import { type Clock, type Logger, type Metrics, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { translate } from '../failure.ts'
import { REQUEST_TIMEOUT_MS } from '../limits.ts'
import type { HandleOptions, MeshProtocol, RequestHandler, RequestOptions } from '../types.ts'
import { RequestServer } from './request-server.ts'
import { RequestStreams } from './request-streams.ts'

export interface RequestServiceDeps {
  readonly open: (peer: PeerKey, signal: AbortSignal) => Promise<Stream>
  /** Called with the peer of each request, in either direction. */
  readonly onUse: (peer: PeerKey) => void
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/** Requests to other hosts, and the answers to theirs. */
export class RequestService {
  readonly #streams: RequestStreams
  readonly #server: RequestServer
  readonly #onUse: (peer: PeerKey) => void
  readonly #stopping: AbortSignal

  constructor({ open, stopping, ...deps }: RequestServiceDeps) {
    this.#stopping = stopping
    this.#onUse = deps.onUse
    this.#streams = new RequestStreams(open)
    this.#server = new RequestServer(deps, stopping)
    stopping.addEventListener('abort', () => this.#streams.stop(), { once: true })
  }

  /** Sets the only handler of a protocol. */
  handle(protocol: MeshProtocol, handler: RequestHandler, options: HandleOptions): void {
    this.#server.handle(protocol, handler, options)
  }

  /** Sends a request and returns the response. Rejects like `Mesh.request`. */
  async request(
    peer: PeerKey,
    protocol: MeshProtocol,
    bytes: Uint8Array,
    { signal, timeoutMs = REQUEST_TIMEOUT_MS, maxResponseBytes }: RequestOptions
  ): Promise<Uint8Array> {
    this.#onUse(peer)
    try {
      return await within(timeoutMs, [signal, this.#stopping], limit =>
        this.#streams.ask(peer, protocol, bytes, maxResponseBytes, limit)
      )
    } catch (err) {
      throw translate(err, `request ${protocol}`, signal)
    }
  }

  /** Answers on a stream for as long as the peer keeps it. A rejection makes libp2p abort the stream. */
  async serve(stream: Stream, connection: Connection): Promise<void> {
    await this.#server.serve(stream, connection)
  }
}
