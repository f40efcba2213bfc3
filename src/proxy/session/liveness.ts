import type { Http2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { LIVENESS_TICK_MS, PING_INTERVAL_MS, PING_TIMEOUT_MS, SILENT_AFTER_MS } from '../timing.ts'

/** A session that is monitored while it has flows. */
export interface Watched {
  readonly session: Http2Session
  readonly socket: TLSSocket
  readonly isBusy: () => boolean
  /** Called when a ping has waited for SILENT_AFTER_MS, before it is known whether the other end has failed. */
  readonly onSilent?: () => void
  /** Called once; must destroy the session. */
  readonly onDead: () => void
}

interface State {
  lastPingMs: number
  /** Time when the unanswered ping was sent. */
  waitingSinceMs: number | undefined
  bytesRead: number
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
    if (state.waitingSinceMs !== undefined) {
      state.waitingSinceMs = heard === state.bytesRead ? state.waitingSinceMs + lateMs : now
      if (heard !== state.bytesRead) state.silent = false
      state.bytesRead = heard
      if (now - state.waitingSinceMs >= SILENT_AFTER_MS && !state.silent) {
        state.silent = true
        watched.onSilent?.()
      }
      if (now - state.waitingSinceMs < PING_TIMEOUT_MS) return
      this.unwatch(watched)
      watched.onDead()
    } else if (watched.isBusy() && now - state.lastPingMs >= PING_INTERVAL_MS) {
      this.#ping(watched, state, now)
    }
  }

  #ping(watched: Watched, state: State, now: number): void {
    const { session } = watched
    if (session.destroyed || session.closed) return
    state.lastPingMs = now
    state.waitingSinceMs = now
    state.bytesRead = watched.socket.bytesRead
    session.ping(err => {
      // A cancelled ping is not an answer; its session is closing anyway.
      if (err !== null) return
      state.waitingSinceMs = undefined
      state.silent = false
    })
  }
}
