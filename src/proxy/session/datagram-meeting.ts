import type { ClientHttp2Session } from 'node:http2'
import { detach, ErrorCode, type Logger, type Metrics, sleep, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Remote, Seeker } from '../datagram/packet/index.ts'
import { abortStream } from '../legs/index.ts'
import {
  MEET_AFTER_MS,
  MEET_FOUND_MS,
  MEET_PAUSES,
  MEET_TIMEOUT_MS,
  natChanges,
  type OutsidePort,
  whyNotPunched
} from '../punch/index.ts'
import { ask } from './ask.ts'
import { MEETING_PATH, type Whereabouts, whereaboutsHeaders, whereaboutsIn } from './meeting.ts'

export interface DatagramMeetingOptions {
  readonly session: ClientHttp2Session
  /** The other agent. */
  readonly peer: PeerKey
  readonly machine: string
  readonly outside: OutsidePort
  /** Looks for the other agent at that address. */
  readonly meet: (remote: Remote) => void
  readonly nowMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

interface Met {
  readonly own: Whereabouts
  readonly other: Whereabouts
  readonly sinceMs: number
}

/** Between two calls of `unanswered` while nothing answers; a longer time means that something did, or nothing was wanted. */
const SERIES_MS = 2_000

/**
 * Finds the datagram path of a session whose two agents reach each other's data port only through NATs: each finds out from where it
 * is seen, tells the other in the session, and both send at the same moment. At the end that opened the session.
 */
export class DatagramMeeting implements Seeker {
  readonly #options: DatagramMeetingOptions
  readonly #closed = new AbortController()
  #calledMs = Number.NEGATIVE_INFINITY
  #sinceMs = 0
  #nextMs = 0
  #pauseMs: number = MEET_PAUSES.firstMs
  #isUnderWay = false
  /** How often a path was found, in whatever way. */
  #finds = 0
  /** What the two have told each other, until a packet arrives. */
  #met: Met | undefined

  constructor(options: DatagramMeetingOptions) {
    this.#options = options
  }

  unanswered(): void {
    const { outside, peer, nowMs, log } = this.#options
    const now = nowMs()
    if (now - this.#calledMs > SERIES_MS) {
      this.#sinceMs = now
      this.#met = undefined
    }
    this.#calledMs = now
    const met = this.#met
    if (met !== undefined && now - met.sinceMs >= MEET_FOUND_MS) this.#failed(noneCame(met))
    // The addresses that are known come first.
    if (this.#isUnderWay || this.#met !== undefined || now - this.#sinceMs < MEET_AFTER_MS || now < this.#nextMs) return
    if (!outside.canLearn(peer)) return
    this.#isUnderWay = true
    detach(log, 'datagrams between two NATs', this.#run(), this.#closed.signal)
  }

  found(): void {
    this.#finds += 1
    if (this.#met !== undefined) {
      this.#options.metrics.count('warren_punched_datagrams_total', { role: 'requester', result: 'ok' })
    }
    this.#met = undefined
    this.#nextMs = 0
    this.#pauseMs = MEET_PAUSES.firstMs
  }

  close(): void {
    this.#closed.abort()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed
    const finds = this.#finds
    try {
      await within(MEET_TIMEOUT_MS, [signal], limit => this.#meet(limit))
      // A known address has answered meanwhile.
      if (this.#finds !== finds) this.#met = undefined
    } catch (err) {
      if (!signal.aborted && this.#finds === finds) this.#failed(WarrenError.from(err).reason)
    } finally {
      this.#isUnderWay = false
    }
  }

  #failed(reason: string): void {
    const { metrics, nowMs, log, machine, outside } = this.#options
    this.#met = undefined
    outside.forget()
    this.#nextMs = nowMs() + this.#pauseMs
    const isFirst = this.#pauseMs === MEET_PAUSES.firstMs
    this.#pauseMs = Math.min(this.#pauseMs * 2, MEET_PAUSES.longestMs)
    metrics.count('warren_punched_datagrams_total', { role: 'requester', result: 'failed' })
    log[isFirst ? 'info' : 'debug']('datagrams stay on their session', { machine, reason })
  }

  async #meet(signal: AbortSignal): Promise<void> {
    const { session, peer, outside, meet, nowMs } = this.#options
    const own = await outside.learn(peer, undefined, signal)
    let other: Whereabouts | undefined
    const headers = { ':method': 'POST', ':scheme': 'https', ':path': MEETING_PATH, ...whereaboutsHeaders(own) }
    const stream = await ask(session, headers, signal, {
      read: answer => {
        if (answer[':status'] === 200) other = whereaboutsIn(answer)
      }
    }).answered
    try {
      if (other === undefined) throw new WarrenError(ErrorCode.MessageMalformed, 'its agent does not say where it is')
      const { host: address, port } = other.end
      const why = whyNotPunched(other.end, own.end.host)
      if (why !== undefined) {
        throw new WarrenError(ErrorCode.DestinationUnreachable, `its agent names ${address} for itself: ${why}`)
      }
      const roundTripMs = await roundTrip(session, signal)
      // The other end sends when this has arrived, and this one then: so each has sent when the other's first packet comes.
      stream.end()
      stream.resume()
      await sleep(roundTripMs / 2, signal)
      this.#met = { own, other, sinceMs: nowMs() }
      meet({ address, port })
    } catch (err) {
      // A clean end would be the sign to send.
      abortStream(stream, 'link')
      throw err
    }
  }
}

function noneCame({ own, other }: Met): string {
  const changes = natChanges(
    { bound: own.localPort, seen: own.end.port },
    { bound: other.localPort, seen: other.end.port }
  )
  return `no packet came through${changes}`
}

function roundTrip(session: ClientHttp2Session, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const onAnswer = (err: Error | null, durationMs: number): void => {
      signal.removeEventListener('abort', onAbort)
      if (err === null) resolve(durationMs)
      else reject(err)
    }
    if (session.destroyed || session.closed || !session.ping(onAnswer)) {
      signal.removeEventListener('abort', onAbort)
      reject(new WarrenError(ErrorCode.DestinationUnreachable, 'the session has ended'))
    }
  })
}
