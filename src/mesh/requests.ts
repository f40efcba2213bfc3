import type { Connection, Stream } from '@libp2p/interface'
import { type Clock, ErrorCode, type Logger, type Metrics, raceAbort, WarrenError, within } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { readFrame, writeFrame } from './frames.ts'
import { peerKeyFromId } from './keys.ts'
import {
  MAX_CONNECTIONS,
  MAX_EXCHANGE_BYTES,
  MAX_REQUESTS,
  MAX_REQUESTS_PER_PEER,
  REQUEST_RATE,
  SERVE_TIMEOUT_MS
} from './limits.ts'
import { decodeResponse, encodeFailure, encodeResponse, RESPONSE_OVERHEAD_BYTES } from './response.ts'
import { TokenBuckets } from './token-bucket.ts'
import type { HandleOptions, RequestHandler } from './types.ts'

/** Asks on a stream that is already negotiated; closes it. Errors are libp2p's, or those of `decodeResponse`. */
export async function ask(
  stream: Stream,
  request: Uint8Array,
  maxResponseBytes: number,
  signal: AbortSignal
): Promise<Uint8Array> {
  try {
    const response = readFrame(stream, checked(maxResponseBytes) + RESPONSE_OVERHEAD_BYTES, signal)
    // Not awaited: a peer may refuse, and hang up, without having taken the whole request. Then the answer counts; and
    // if there is none, reading fails as writing did.
    writeFrame(stream, request, signal)
      .then(() => stream.close({ signal }))
      .catch((err: Error) => stream.abort(err))
    return decodeResponse(await response)
  } finally {
    // The exchange is over. Without this, a stream whose peer never ends its side would count against the limit.
    if (stream.status === 'open') stream.abort(new WarrenError(ErrorCode.StreamTruncated, 'the exchange is over'))
  }
}

/** Resolves once both sides have closed. Its deadline is what frees a stream that the peer never closes. */
async function closed(stream: Stream, signal: AbortSignal): Promise<void> {
  const done = Promise.withResolvers<void>()
  stream.addEventListener('close', () => done.resolve(), { once: true })
  if (stream.status === 'open') await raceAbort(done.promise, signal)
}

function checked(bytes: number): number {
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > MAX_EXCHANGE_BYTES) {
    throw new WarrenError(
      ErrorCode.InvalidOption,
      `an exchange is limited to ${MAX_EXCHANGE_BYTES} bytes, not ${bytes}`
    )
  }
  return bytes
}

/**
 * Answers requests of admitted peers: one request and one response a stream, both bounded, at a bounded rate and with
 * bounded concurrency for each peer and for all of them. What is above a limit is answered LIMIT_EXCEEDED, unread.
 */
export class RequestServer {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #stopping: AbortSignal
  readonly #rates = new TokenBuckets<PeerKey>(REQUEST_RATE, MAX_CONNECTIONS)
  // Holds only peers with a request in progress, so it is bounded by MAX_REQUESTS.
  readonly #active = new Map<PeerKey, number>()
  #total = 0

  constructor(
    { log, clock, metrics }: { readonly log: Logger; readonly clock: Clock; readonly metrics: Metrics },
    stopping: AbortSignal
  ) {
    this.#metrics = metrics
    this.#log = log
    this.#clock = clock
    this.#stopping = stopping
  }

  /** A libp2p stream handler that serves `handler`. */
  serve(
    handler: RequestHandler,
    { maxRequestBytes, maxResponseBytes }: HandleOptions
  ): (stream: Stream, connection: Connection) => Promise<void> {
    checked(maxRequestBytes)
    checked(maxResponseBytes)
    const answer = async (peer: PeerKey, stream: Stream, signal: AbortSignal): Promise<Uint8Array> => {
      const request = await readFrame(stream, maxRequestBytes, signal).catch((err: unknown) => {
        if (err instanceof Error && err.name === 'InvalidDataLengthError') {
          this.#metrics.hit('mesh_request_bytes', { peer, protocol: stream.protocol, limit: maxRequestBytes })
        }
        throw err
      })
      try {
        // Raced, for a handler that ignores its signal must not keep its place for ever.
        const response = await raceAbort(handler(peer, request, signal), signal)
        if (response.length <= maxResponseBytes) return encodeResponse(response)
        throw new WarrenError(ErrorCode.MessageTooLarge, `a response of ${response.length} bytes exceeds the limit`)
      } catch (err) {
        this.#log.debug('request failed', { peer, protocol: stream.protocol, err })
        if (err instanceof WarrenError && err.limit !== undefined) this.#metrics.hit(err.limit, { peer })
        return encodeFailure(err)
      }
    }
    // A rejection makes libp2p abort the stream. Returning without close() would leave it open.
    return async (stream, connection) => {
      const peer = peerKeyFromId(connection.remotePeer)
      await within(SERVE_TIMEOUT_MS, [this.#stopping], async signal => {
        const refusal = this.#enter(peer)
        if (refusal !== undefined) {
          await writeFrame(stream, encodeFailure(refusal), signal)
          await stream.close({ signal })
          // A reset would overtake the answer; so what was on its way is taken, and dropped.
          await readFrame(stream, maxRequestBytes, signal)
          await closed(stream, signal)
          return
        }
        try {
          await writeFrame(stream, await answer(peer, stream, signal), signal)
        } finally {
          this.#leave(peer)
        }
        await stream.close({ signal })
        await closed(stream, signal)
      })
    }
  }

  #enter(peer: PeerKey): WarrenError | undefined {
    const active = this.#active.get(peer) ?? 0
    if (!this.#rates.take(peer, this.#clock.monotonicMs())) {
      this.#metrics.hit('mesh_request_rate', { peer, limit: REQUEST_RATE.perSecond })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${REQUEST_RATE.perSecond} requests a second`)
    }
    if (this.#total >= MAX_REQUESTS) {
      this.#metrics.hit('mesh_requests', { peer, limit: MAX_REQUESTS })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${MAX_REQUESTS} requests of all hosts at once`)
    }
    if (active >= MAX_REQUESTS_PER_PEER) {
      this.#metrics.hit('mesh_requests_per_peer', { peer, limit: MAX_REQUESTS_PER_PEER })
      return new WarrenError(ErrorCode.LimitExceeded, `more than ${MAX_REQUESTS_PER_PEER} requests at once`)
    }
    this.#active.set(peer, active + 1)
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
