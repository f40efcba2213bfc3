import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { isIP } from 'node:net'
import { ErrorCode, Quota, raceAbort, silentMetrics, TokenBuckets, WarrenError, within } from '../../core/index.ts'
import { MET_MS, type PacketChannel } from '../datagram/packet/index.ts'
import type { ProxyDeps } from '../deps.ts'
import { limitExceeded } from '../limits.ts'
import {
  MAX_MEETINGS,
  MAX_MEETINGS_PER_HOST,
  MAX_PUNCH_HOSTS,
  MEET_TIMEOUT_MS,
  type OutsidePort,
  PUNCH_RATE,
  whyNotPunched
} from '../punch/index.ts'
import { whereaboutsHeaders, whereaboutsIn } from '../session/index.ts'

const WHAT = 'datagram paths between NATs that this host wants'

export interface InboundMeetingsOptions {
  readonly deps: Pick<ProxyDeps, 'clock' | 'directory' | 'metrics'>
  /** Undefined if datagrams of this agent stay on their sessions. */
  readonly outside: OutsidePort | undefined
  readonly stopping: AbortSignal
}

/**
 * Answers openers of sessions that say from where their datagrams come: says the same of this host, and sends there when they do.
 *
 * An opener may name any address where the host of a NAT can be. A few pings go there, at a bounded rate.
 */
export class InboundMeetings {
  readonly #options: InboundMeetingsOptions
  readonly #rates = new TokenBuckets<string>({ ...PUNCH_RATE, maxKeys: MAX_PUNCH_HOSTS })
  readonly #places = new Quota<string>(MAX_MEETINGS_PER_HOST, MAX_MEETINGS)

  constructor(options: InboundMeetingsOptions) {
    this.#options = options
  }

  /**
   * Serves the request of an agent, on `machine`, in a session with this datagram path. Rejects with the error to answer instead.
   */
  async serve(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    machine: string,
    channel: PacketChannel | undefined
  ): Promise<void> {
    const { deps, stopping } = this.#options
    const metrics = deps.metrics ?? silentMetrics
    const release = this.#take(machine)
    let hasMet = false
    try {
      hasMet = await within(MEET_TIMEOUT_MS, [stopping], signal =>
        this.#meet(stream, headers, machine, channel, signal)
      )
    } catch (err) {
      if (!(err instanceof DOMException && err.name === 'TimeoutError')) throw err
      throw new WarrenError(ErrorCode.Timeout, 'its end did not say that it sends', { cause: err })
    } finally {
      metrics.count('warren_punched_datagrams_total', { role: 'invited', result: hasMet ? 'ok' : 'failed' })
      // So long its address is pinged.
      if (hasMet) setTimeout(release, MET_MS).unref()
      else release()
    }
  }

  async #meet(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    machine: string,
    channel: PacketChannel | undefined,
    signal: AbortSignal
  ): Promise<boolean> {
    const { outside, deps } = this.#options
    const peer = deps.directory.peerOf(machine)
    if (outside === undefined || channel === undefined || peer === undefined) {
      throw new WarrenError(ErrorCode.Unsupported, 'this agent sends no datagrams beside this session')
    }
    const { end } = whereaboutsIn(headers)
    const family = isIP(end.host)
    const own = await outside.learn(peer, family === 6 ? 6 : 4, signal)
    const why = whyNotPunched(end, own.end.host)
    if (why !== undefined) throw new WarrenError(ErrorCode.InvalidArgument, `it names ${end.host} for itself: ${why}`)
    const over = Promise.withResolvers<boolean>()
    stream.once('end', () => over.resolve(true)).once('close', () => over.resolve(false))
    if (stream.destroyed || stream.closed) return false
    stream.respond({ ':status': 200, ...whereaboutsHeaders(own) })
    stream.resume()
    // The end of the request is the sign.
    const isSign = (await raceAbort(over.promise, signal)) && !stream.aborted && stream.rstCode === 0
    if (isSign) channel.meet({ address: end.host, port: end.port })
    if (!stream.destroyed && !stream.writableEnded) stream.end()
    return isSign
  }

  #take(machine: string): () => void {
    const { deps } = this.#options
    const metrics = deps.metrics ?? silentMetrics
    if (!this.#rates.take(machine, deps.clock.monotonicMs())) {
      throw limitExceeded(metrics, 'proxy_punch_rate', WHAT, PUNCH_RATE.perSecond, { machine })
    }
    const release = this.#places.take(machine)
    if (release !== undefined) return release
    if (this.#places.size >= MAX_MEETINGS) throw limitExceeded(metrics, 'proxy_punch_meetings', WHAT, MAX_MEETINGS)
    throw limitExceeded(metrics, 'proxy_punch_meetings_per_host', WHAT, MAX_MEETINGS_PER_HOST, { machine })
  }
}
