import type { ClientHttp2Session } from 'node:http2'
import { detach, ErrorCode, type Logger, type Metrics, sleep, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Remote, Seeker } from '../datagram/packet/index.ts'
import { codeOf } from '../flow/index.ts'
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
  #onFound = (): void => {}

  constructor(options: DatagramMeetingOptions) {
    this.#options = options
  }

  unanswered(): void {
    const { outside, peer, nowMs, log } = this.#options
    const now = nowMs()
    if (now - this.#calledMs > SERIES_MS) this.#sinceMs = now
    this.#calledMs = now
    // The addresses that are known come first.
    if (this.#isUnderWay || now - this.#sinceMs < MEET_AFTER_MS || now < this.#nextMs) return
    if (!outside.canLearn(peer)) return
    this.#isUnderWay = true
    detach(log, 'datagrams between two NATs', this.#run(), this.#closed.signal)
  }

  found(): void {
    this.#onFound()
    this.#nextMs = 0
    this.#pauseMs = MEET_PAUSES.firstMs
  }

  close(): void {
    this.#closed.abort()
  }

  async #run(): Promise<void> {
    const { metrics, nowMs, log, machine, outside } = this.#options
    const found = Promise.withResolvers<'found'>()
    this.#onFound = () => found.resolve('found')
    const { signal } = this.#closed
    try {
      const { own, other } = await within(MEET_TIMEOUT_MS, [signal], limit => this.#meet(limit))
      const waited = within(MEET_FOUND_MS, [signal], limit => sleep(MEET_FOUND_MS, limit)).catch(() => 'late')
      if ((await Promise.race([found.promise, waited])) !== 'found') {
        const changes = natChanges(
          { bound: own.localPort, seen: own.end.port },
          { bound: other.localPort, seen: other.end.port }
        )
        throw new WarrenError(ErrorCode.DestinationUnreachable, `no packet came through${changes}`)
      }
      metrics.count('warren_punched_datagrams_total', { role: 'requester', result: 'ok' })
    } catch (err) {
      if (signal.aborted) return
      outside.forget()
      this.#nextMs = nowMs() + this.#pauseMs
      const isFirst = this.#pauseMs === MEET_PAUSES.firstMs
      this.#pauseMs = Math.min(this.#pauseMs * 2, MEET_PAUSES.longestMs)
      metrics.count('warren_punched_datagrams_total', { role: 'requester', result: 'failed' })
      const { reason } = WarrenError.from(err)
      log[isFirst ? 'info' : 'debug']('datagrams stay on their session', { machine, reason })
    } finally {
      this.#isUnderWay = false
    }
  }

  async #meet(signal: AbortSignal): Promise<{ own: Whereabouts; other: Whereabouts }> {
    const { session, peer, outside, meet } = this.#options
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
      meet({ address, port })
      return { own, other }
    } catch (err) {
      stream.close(codeOf('link'))
      throw err
    }
  }
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
