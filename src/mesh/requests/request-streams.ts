import type { Stream } from '@libp2p/interface'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { FRAME_HEADER_BYTES } from '../../wire/index.ts'
import { CLOSE_TIMEOUT_MS, KEPT_STREAM_REST_MS, MAX_EXCHANGE_BYTES, MAX_KEPT_STREAMS_PER_PEER } from '../limits.ts'
import { FrameStream } from './frame-stream.ts'
import { checked } from './request-server.ts'
import { decodeResponse, RESPONSE_OVERHEAD_BYTES } from './response.ts'

/** The largest response, including its frame. */
const MAX_WAITING_BYTES = MAX_EXCHANGE_BYTES + RESPONSE_OVERHEAD_BYTES + FRAME_HEADER_BYTES

interface Kept {
  readonly frames: FrameStream
  readonly timer: NodeJS.Timeout
}

/**
 * Sends one request at a time on each stream, and keeps streams for the next: a stream of its own for each request costs
 * both sides a negotiation, two writes to libp2p's peer store and a dozen frames, 4 ms of processor time in all (measured
 * with 24 agents; docs/decisions/0029).
 */
export class RequestStreams {
  readonly #open: (peer: PeerKey, signal: AbortSignal) => Promise<Stream>
  // The number of connections limits its size: a stream is removed when it ends.
  readonly #kept = new Map<PeerKey, Kept[]>()

  constructor(open: (peer: PeerKey, signal: AbortSignal) => Promise<Stream>) {
    this.#open = open
  }

  /** The response. Throws libp2p's errors, those of `FrameStream` and `decodeResponse`, or INVALID_OPTION. */
  async ask(
    peer: PeerKey,
    protocol: string,
    request: Uint8Array,
    maxResponseBytes: number,
    signal: AbortSignal
  ): Promise<Uint8Array> {
    const most = checked(maxResponseBytes) + RESPONSE_OVERHEAD_BYTES
    const frames = this.#take(peer) ?? (await this.#opened(peer, signal))
    let done = false
    try {
      const response = frames.read(most, signal)
      // Not awaited: a peer may refuse and close without having read the whole request. Then the answer counts; if there is
      // none, reading fails like writing did.
      frames.write([Buffer.from(protocol, 'latin1'), request], signal).catch((err: Error) => frames.abort(err))
      const frame = await response
      if (frame === undefined) throw new WarrenError(ErrorCode.StreamTruncated, 'the peer sent no response')
      const body = decodeResponse(frame)
      done = true
      return body
    } finally {
      // The other side closes a stream with a refusal; a stream that was cut cannot be used again.
      if (done) this.#keep(peer, frames)
      else frames.abort(new WarrenError(ErrorCode.StreamTruncated, 'the exchange has ended'))
    }
  }

  /** Ends the streams that are kept. */
  stop(): void {
    for (const peer of [...this.#kept.keys()]) {
      for (let frames = this.#take(peer); frames !== undefined; frames = this.#take(peer)) end(frames)
    }
  }

  async #opened(peer: PeerKey, signal: AbortSignal): Promise<FrameStream> {
    const frames = new FrameStream(await this.#open(peer, signal), MAX_WAITING_BYTES)
    frames.onEnd(() => this.#drop(peer, frames))
    return frames
  }

  #take(peer: PeerKey): FrameStream | undefined {
    const kept = this.#kept.get(peer)
    for (let one = kept?.pop(); one !== undefined; one = kept?.pop()) {
      clearTimeout(one.timer)
      if (kept?.length === 0) this.#kept.delete(peer)
      if (one.frames.isFresh) return one.frames
      end(one.frames)
    }
    return undefined
  }

  #keep(peer: PeerKey, frames: FrameStream): void {
    const kept = this.#kept.get(peer) ?? []
    if (!frames.isFresh || kept.length >= MAX_KEPT_STREAMS_PER_PEER) {
      end(frames)
      return
    }
    const timer = setTimeout(() => this.#drop(peer, frames), KEPT_STREAM_REST_MS)
    timer.unref()
    kept.push({ frames, timer })
    this.#kept.set(peer, kept)
  }

  #drop(peer: PeerKey, frames: FrameStream): void {
    const kept = this.#kept.get(peer)
    const at = kept?.findIndex(one => one.frames === frames) ?? -1
    if (kept === undefined || at === -1) return
    clearTimeout(kept[at]?.timer)
    kept.splice(at, 1)
    if (kept.length === 0) this.#kept.delete(peer)
    end(frames)
  }
}

function end(frames: FrameStream): void {
  frames.close(AbortSignal.timeout(CLOSE_TIMEOUT_MS)).catch((err: Error) => frames.abort(err))
}
