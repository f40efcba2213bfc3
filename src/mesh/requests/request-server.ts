import type { Connection, Stream } from '@libp2p/interface'
import {
  type Clock,
  Deadline,
  ErrorCode,
  type Logger,
  type Metrics,
  raceAbort,
  TokenBuckets,
  WarrenError
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { FRAME_HEADER_BYTES } from '../../wire/index.ts'
import { peerKeyFromId } from '../keys.ts'
import {
  MAX_CONNECTIONS,
  MAX_EXCHANGE_BYTES,
  MAX_PROTOCOL_NAME_BYTES,
  MAX_REQUESTS,
  MAX_REQUESTS_PER_PEER,
  REQUEST_RATE,
  SERVE_TIMEOUT_MS,
  SERVED_STREAM_REST_MS
} from '../limits.ts'
import { versioned, versionsAmong } from '../protocols.ts'
import type { HandleOptions, RequestHandler } from '../types.ts'
import { FrameStream } from './frame-stream.ts'
import { encodeFailure, encodeResponse } from './response.ts'

interface Served extends HandleOptions {
  readonly handler: RequestHandler
}

/** Returns `bytes` if an exchange may hold that many. Throws INVALID_OPTION. */
export function checked(bytes: number): number {
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > MAX_EXCHANGE_BYTES) {
    throw new WarrenError(
      ErrorCode.InvalidOption,
      `an exchange is limited to ${MAX_EXCHANGE_BYTES} bytes, not ${bytes}`
    )
  }
  return bytes
}

/**
 * Answers requests of admitted peers: one after another on each stream, with limits on the size of request and response, and
 * on the rate and concurrency of each peer and of all together. A request above a limit is answered LIMIT_EXCEEDED without
 * being read, and its stream is closed.
 */
export class RequestServer {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #stopping: AbortSignal
  readonly #onUse: (peer: PeerKey) => void
  readonly #handlers = new Map<string, Served>()
  #maxWaitingBytes = 0
  readonly #rates = new TokenBuckets<PeerKey>({ ...REQUEST_RATE, maxKeys: MAX_CONNECTIONS })
  // Holds only peers with a request in progress, so MAX_REQUESTS limits its size.
  readonly #active = new Map<PeerKey, number>()
  #total = 0

  constructor(
    {
      log,
      clock,
      metrics,
      onUse
    }: {
      readonly log: Logger
      readonly clock: Clock
      readonly metrics: Metrics
      readonly onUse: (peer: PeerKey) => void
    },
    stopping: AbortSignal
  ) {
    this.#metrics = metrics
    this.#onUse = onUse
    this.#log = log
    this.#clock = clock
    this.#stopping = stopping
  }

  /** Sets the only handler of a protocol. Throws INVALID_OPTION for limits above that of an exchange. */
  handle(protocol: string, handler: RequestHandler, { maxRequestBytes, maxResponseBytes }: HandleOptions): void {
    // A name and the largest request of any protocol: the data that may arrive before the name is read.
    const most = 2 * FRAME_HEADER_BYTES + MAX_PROTOCOL_NAME_BYTES + checked(maxRequestBytes)
    this.#maxWaitingBytes = Math.max(this.#maxWaitingBytes, most)
    this.#handlers.set(protocol, {
      handler,
      maxRequestBytes,
      maxResponseBytes: checked(maxResponseBytes)
    })
  }

  /** Answers on a stream for as long as the peer keeps it. A rejection makes libp2p abort the stream. */
  async serve(stream: Stream, connection: Connection): Promise<void> {
    const peer = peerKeyFromId(connection.remotePeer)
    try {
      await this.#serve(peer, new FrameStream(stream, this.#maxWaitingBytes))
    } catch (err) {
      // Too large by its header, or because more arrived than any request holds before the header was read.
      if (err instanceof WarrenError && err.code === ErrorCode.MessageTooLarge) {
        this.#metrics.hit('mesh_request_bytes', { peer, limit: this.#maxWaitingBytes })
      }
      throw err
    }
  }

  async #serve(peer: PeerKey, frames: FrameStream): Promise<void> {
    const deadline = new Deadline(this.#stopping)
    const { signal } = deadline
    try {
      deadline.step(SERVE_TIMEOUT_MS)
      for (;;) {
        const protocol = await frames.read(MAX_PROTOCOL_NAME_BYTES, signal)
        deadline.step(SERVE_TIMEOUT_MS)
        if (protocol === undefined) break
        if (!(await this.#exchange(peer, protocol.toString('latin1'), frames, signal))) break
        deadline.step(SERVED_STREAM_REST_MS)
      }
      // A reset would overtake the answer; so the data still on its way is read and dropped.
      deadline.step(SERVE_TIMEOUT_MS)
      await frames.close(signal)
    } finally {
      deadline.end()
    }
  }

  /** Handles one request and its response; returns whether another may follow. */
  async #exchange(peer: PeerKey, protocol: string, frames: FrameStream, signal: AbortSignal): Promise<boolean> {
    const served = this.#handlers.get(protocol)
    const refusal = served === undefined ? this.#unsupported(protocol) : this.#enter(peer)
    if (served === undefined || refusal !== undefined) {
      await frames.write([encodeFailure(refusal)], signal)
      return false
    }
    try {
      const request = await frames.read(served.maxRequestBytes, signal)
      if (request === undefined) throw new WarrenError(ErrorCode.StreamTruncated, 'the peer sent no request')
      await frames.write([await this.#answer(peer, protocol, served, request, signal)], signal)
      return true
    } finally {
      this.#leave(peer)
    }
  }

  async #answer(
    peer: PeerKey,
    protocol: string,
    { handler, maxResponseBytes }: Served,
    request: Uint8Array,
    signal: AbortSignal
  ): Promise<Uint8Array> {
    try {
      // Raced, because a handler that ignores its signal must not keep its place for ever.
      const response = await raceAbort(handler(peer, request, signal), signal)
      if (response.length <= maxResponseBytes) return encodeResponse(response)
      throw new WarrenError(ErrorCode.MessageTooLarge, `a response of ${response.length} bytes exceeds the limit`)
    } catch (err) {
      this.#log.debug('request failed', { peer, protocol, err })
      if (err instanceof WarrenError && err.limit !== undefined) this.#metrics.hit(err.limit, { peer })
      return encodeFailure(err)
    }
  }

  #unsupported(protocol: string): WarrenError {
    const [base] = versioned(protocol) ?? []
    const ours = versionsAmong(this.#handlers.keys(), protocol)
    const reason =
      base === undefined || ours === ''
        ? 'this host does not speak that protocol: its program may be older'
        : `of the protocol ${protocol} this host speaks version ${ours}: upgrade the older of the two`
    return new WarrenError(ErrorCode.Unsupported, reason)
  }

  #enter(peer: PeerKey): WarrenError | undefined {
    const active = this.#active.get(peer) ?? 0
    if (!this.#rates.take(peer, this.#clock.monotonicMs())) {
      this.#metrics.hit('mesh_request_rate', { peer, limit: REQUEST_RATE.perSecond })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${REQUEST_RATE.perSecond} requests a second`)
    }
    if (this.#total >= MAX_REQUESTS) {
      this.#metrics.hit('mesh_requests', { peer, limit: MAX_REQUESTS })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${MAX_REQUESTS} requests from all hosts at once`)
    }
    if (active >= MAX_REQUESTS_PER_PEER) {
      this.#metrics.hit('mesh_requests_per_peer', { peer, limit: MAX_REQUESTS_PER_PEER })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${MAX_REQUESTS_PER_PEER} requests at once`)
    }
    this.#active.set(peer, active + 1)
    this.#onUse(peer)
    this.#total += 1
    return undefined
  }

  #leave(peer: PeerKey): void {
    const active = (this.#active.get(peer) ?? 1) - 1
    if (active === 0) this.#active.delete(peer)
    else this.#active.set(peer, active)
    this.#total -= 1
  }
}
