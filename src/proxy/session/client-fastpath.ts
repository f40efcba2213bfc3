import type { ClientHttp2Stream } from 'node:http2'
import { type Logger, type Metrics, within } from '../../core/index.ts'
import type { Exporter } from '../aead/index.ts'
import type { Lane, LaneCuts } from '../fastpath/index.ts'
import {
  canTakeOver,
  dialLane,
  KeptLane,
  type LaneBudget,
  type LaneWay,
  type LaneWorth,
  MAX_KEPT_PER_SESSION
} from '../fastpath/index.ts'
import { KEPT_LANE_IDLE_MS, LANE_PAUSE_MS, LANE_TIMEOUT_MS } from '../timing.ts'
import type { Dialled } from '../tls/index.ts'
import { askForCuts } from './ask-for-cuts.ts'

const WINDOW_MS = 1_000
/** The largest even number that fits in a preamble. */
const LAST_ID = 0xffff_fffe

export interface ClientLanesOptions {
  readonly dialled: Dialled
  /** Places for lanes of this agent. */
  readonly budget: LaneBudget
  readonly worth: LaneWorth
  readonly machine: string
  readonly nowMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

/** The lanes beside a session, at the end that opened both. */
export class ClientLanes {
  readonly #options: ClientLanesOptions
  /** Aborts when the session is over. */
  readonly #over = new AbortController()
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #asking: Promise<LaneCuts> | undefined
  #cuts: LaneCuts | undefined
  readonly #kept = new Map<number, KeptLane>()
  /** Those without a flow, the one used last at the end. */
  readonly #idle: { readonly kept: KeptLane; readonly sinceMs: number }[] = []
  #nextId = 2
  #dialling = 0
  #missed = 0
  #windowFromMs = Number.NEGATIVE_INFINITY

  constructor(options: ClientLanesOptions) {
    this.#options = options
  }

  /** How a flow on `stream` may get a lane; undefined if it cannot now. */
  wayFor(stream: ClientHttp2Stream): LaneWay | undefined {
    if (!this.#isPossible()) return undefined
    const { budget, worth } = this.#options
    return { budget, worth, dial: () => this.#dial(stream.id) }
  }

  /** A kept lane that no flow is on, if there is one. */
  take(): KeptLane | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.kept.lane.isAtRest) return last.kept
    }
    return undefined
  }

  /** A flow begins for which there was none: if many do, lanes are kept for those that follow. */
  missed(): void {
    const { nowMs, worth } = this.#options
    const now = nowMs()
    if (now - this.#windowFromMs >= WINDOW_MS) {
      this.#windowFromMs = now
      this.#missed = 0
    }
    this.#missed += 1
    if (this.#missed <= worth.flowsPerSecond || this.#kept.size + this.#dialling >= MAX_KEPT_PER_SESSION) return
    if (!this.#isPossible() || this.#nextId > LAST_ID || !this.#options.budget.takeKept()) return
    this.#dialling += 1
    this.#keepOne()
      .catch(() => this.#options.budget.giveKept())
      .finally(() => {
        this.#dialling -= 1
      })
  }

  /** Closes those that have had no flow for long. */
  sweep(): void {
    const before = this.#options.nowMs() - KEPT_LANE_IDLE_MS
    // The one used longest ago is the first.
    while ((this.#idle[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < before) this.#idle.shift()?.kept.lane.destroy()
  }

  /** Closes those without a flow and keeps none from now on, so that the session can end. */
  letGo(): void {
    this.#notBeforeMs = Number.POSITIVE_INFINITY
    this.#closeIdle()
    this.#cuts?.close()
  }

  /** The session is over. */
  lost(): void {
    this.#notBeforeMs = Number.POSITIVE_INFINITY
    this.#over.abort(new Error('the session has ended'))
    for (const kept of [...this.#kept.values()]) kept.lost()
  }

  #isPossible(): boolean {
    return canTakeOver() && this.#options.nowMs() >= this.#notBeforeMs
  }

  /** Rejects, and then the place for it is to be given back, when there can be none. */
  async #keepOne(): Promise<void> {
    const cuts = this.#cuts ?? (await this.#ask())
    const { budget } = this.#options
    const id = this.#nextId
    this.#nextId += 2
    const lane = await budget.dial(() => this.#dial(id))
    // One that was lost since would never say that it is over.
    if (lane === undefined || lane.isOver) {
      budget.giveKept()
      return
    }
    const kept = new KeptLane(lane, id, cuts)
    lane.rest({ rested: () => this.#rested(kept), closed: () => {} }, () => {
      budget.giveKept()
      kept.over(() => this.#kept.delete(id))
    })
    this.#kept.set(id, kept)
    this.#rested(kept)
  }

  #ask(): Promise<LaneCuts> {
    this.#asking ??= askForCuts(this.#options.dialled.session, (laneId, number, code) => {
      this.#kept.get(laneId)?.cutBy(number, code)
    })
      .then(cuts => {
        this.#cuts = cuts
        // Without it the other end could not say why it cuts a flow.
        cuts.onClose(() => {
          this.#cuts = undefined
          this.#closeIdle()
        })
        return cuts
      })
      .catch((err: unknown) => {
        this.#pause(err)
        throw err
      })
      .finally(() => {
        this.#asking = undefined
      })
    return this.#asking
  }

  #closeIdle(): void {
    for (const { kept } of this.#idle.splice(0)) kept.lane.destroy()
  }

  #rested(kept: KeptLane): void {
    kept.freed()
    if (this.#isPossible() && this.#cuts !== undefined) this.#idle.push({ kept, sinceMs: this.#options.nowMs() })
    else kept.lane.destroy()
  }

  async #dial(streamId: number | undefined): Promise<Lane> {
    const { dialled, metrics } = this.#options
    const { remoteAddress: host, remotePort: port } = dialled.socket
    if (host === undefined || port === undefined || streamId === undefined) throw new Error('the session has ended')
    const exporter: Exporter = (...args) => dialled.socket.exportKeyingMaterial(...args)
    try {
      const lane = await within(LANE_TIMEOUT_MS, [this.#over.signal], signal =>
        dialLane({ exporter, streamId, host, port }, signal)
      )
      metrics.count('warren_lanes_total', { role: 'client', result: 'ok' })
      return lane
    } catch (err) {
      metrics.count('warren_lanes_total', { role: 'client', result: 'failed' })
      this.#pause(err)
      throw err
    }
  }

  #pause(err: unknown): void {
    const { nowMs, log, machine } = this.#options
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs() + LANE_PAUSE_MS)
    log.debug('no lane beside a session', { machine, err })
  }
}
