import type { Http2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import {
  LIVENESS_TICK_MS,
  PING_INTERVAL_MS,
  PING_TIMEOUT_MS,
  QUIET_PING_INTERVAL_MS,
  SILENT_AFTER_MS,
  SILENT_ROUND_TRIPS
} from '../timing.ts'

/** A session that is monitored while it has flows. */
export interface Watched {
  readonly session: Http2Session
  readonly socket: TLSSocket
  readonly isBusy: () => boolean
  /** Its flows are carried, and not on its own connection: it lasts though that is silent. @default false */
  readonly isCarriedBeside?: () => boolean
  /** The other end pings as well: this one does so only when it hears nothing. @default false */
  readonly isPinged?: boolean
  /** Called when a ping has waited for long, before it is known whether the other end has failed. */
  readonly onSilent?: () => void
  /** Called once; must destroy the session. */
  readonly onDead: () => void
}

interface State {
  lastPingMs: number
  /** Time when the unanswered ping was sent, or anything came since. */
  waitingSinceMs: number | undefined
  bytesRead: number
  /** Time of the last tick at which something had come. */
  heardMs: number
  /** The longest round trip of late. */
  roundTripMs: number
  silent: boolean
}

/**
 * Finds sessions whose other end has vanished without a notice: a black-holed link, a host that lost its power.
 *
 * Any byte from the other side counts as an answer, since a ping may queue behind bulk data on a slow link. While our
 * own event loop was late, no session is closed.
 */
export class Liveness {
  readonly #states = new Map<Watched, State>()
  readonly #nowMs: () => number
  #timer: NodeJS.Timeout | undefined
  #lastTickMs = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  watch(watched: Watched): void {
    this.#states.set(watched, {
      lastPingMs: Number.NEGATIVE_INFINITY,
      waitingSinceMs: undefined,
      bytesRead: -1,
      heardMs: Number.NEGATIVE_INFINITY,
      roundTripMs: 0,
      silent: false
    })
    if (this.#timer !== undefined) return
    this.#lastTickMs = this.#nowMs()
    this.#timer = setInterval(() => this.#tick(), LIVENESS_TICK_MS)
  }

  unwatch(watched: Watched): void {
    this.#states.delete(watched)
    if (this.#states.size === 0) this.stop()
  }

  /** Whether the last ping has waited for an answer for so long that another path should be tried. */
  isSilent(watched: Watched): boolean {
    return this.#states.get(watched)?.silent === true
  }

  /** Pings at once, for a session that was idle and is about to be used again. */
  probe(watched: Watched): void {
    const state = this.#states.get(watched)
    if (state !== undefined && state.waitingSinceMs === undefined) this.#ping(watched, state, this.#nowMs())
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    const now = this.#nowMs()
    // Answers that arrived while this thread was busy have not been read yet.
    const lateMs = Math.max(0, now - this.#lastTickMs - LIVENESS_TICK_MS)
    this.#lastTickMs = now
    for (const [watched, state] of [...this.#states]) this.#check(watched, state, now, lateMs)
  }

  #check(watched: Watched, state: State, now: number, lateMs: number): void {
    const heard = watched.socket.bytesRead
    const hasHeard = heard !== state.bytesRead
    if (hasHeard) {
      state.bytesRead = heard
      state.heardMs = now
      state.silent = false
    }
    if (state.waitingSinceMs !== undefined) {
      state.waitingSinceMs = hasHeard ? now : state.waitingSinceMs + lateMs
      const waitedMs = now - state.waitingSinceMs
      if (!state.silent && isDue(waitedMs, silentAfterMs(state))) {
        state.silent = true
        watched.onSilent?.()
      }
      if (waitedMs < PING_TIMEOUT_MS || watched.isCarriedBeside?.() === true) return
      this.unwatch(watched)
      watched.onDead()
    } else if (watched.isBusy() && isPingDue(watched, state, now)) {
      this.#ping(watched, state, now)
    }
  }

  #ping(watched: Watched, state: State, now: number): void {
    const { session } = watched
    if (session.destroyed || session.closed) return
    state.lastPingMs = now
    state.waitingSinceMs = now
    state.bytesRead = watched.socket.bytesRead
    session.ping((err, roundTripMs) => {
      // A cancelled ping is not an answer; its session is closing anyway.
      if (err !== null) return
      state.waitingSinceMs = undefined
      state.silent = false
      // One long round trip among short ones counts for some pings.
      state.roundTripMs = Math.max(roundTripMs, (3 * state.roundTripMs) / 4)
    })
  }
}

function isPingDue({ isPinged = false }: Watched, { lastPingMs, heardMs }: State, now: number): boolean {
  return isPinged ? isDue(now - heardMs, QUIET_PING_INTERVAL_MS) : isDue(now - lastPingMs, PING_INTERVAL_MS)
}

/** On a link of long round trips an answer takes longer than the silence of a lost one. */
function silentAfterMs({ roundTripMs }: State): number {
  return Math.min(PING_TIMEOUT_MS, Math.max(SILENT_AFTER_MS, SILENT_ROUND_TRIPS * roundTripMs))
}

// A timer that is a little early must not cost a whole tick.
function isDue(passedMs: number, afterMs: number): boolean {
  return passedMs >= afterMs - LIVENESS_TICK_MS / 4
}
