import type { Metrics } from '../../core/index.ts'
import type { Lane } from './record-connection.ts'

/** From when on a lane is worth what it costs. */
export interface LaneWorth {
  /** What a flow carries, both ways together, before it gets one; either of these is enough. */
  readonly bytes: number
  /** Reads of either end, for flows of many small messages. */
  readonly chunks: number
  /** Flows of one session that begin within a second, before lanes are kept for those that follow. */
  readonly flowsPerSecond: number
}

/** To make a lane costs both agents about as much as they save on so much. */
const LANE_WORTH: LaneWorth = { bytes: 512 * 1024, chunks: 64, flowsPerSecond: 16 }

export function laneWorthOf(worth: Partial<LaneWorth> = {}): LaneWorth {
  return { ...LANE_WORTH, ...worth }
}

/** How a flow on a stream may get a lane. */
export type LaneWay = {
  /** Places for lanes; one is taken before there is one, and given back when its flow is over. */
  readonly budget: LaneBudget
} & (
  | {
      /** This end, which opened the session, connects it once the flow is worth it. Rejects when there can be none. */
      readonly dial: () => Promise<Lane>
      readonly worth: LaneWorth
    }
  | {
      /** This end waits for it. The function returned ends that. */
      readonly listen: (taker: (lane: Lane) => void) => () => void
    }
)

/** The part of an agent's lanes that may be kept, so that flows that carry much find a place beside flows that may be idle. */
const KEPT_SHARE = 0.5
/** Lanes that one session may keep: as many flows may begin and end at once without a stream. */
export const MAX_KEPT_PER_SESSION = 64
/** Below what an agent allows one address at its data port. */
const MAX_DIALLING = 32

/** How many lanes this agent may have. Beyond it flows stay on their session. */
export class LaneBudget {
  readonly #limit: number
  readonly #metrics: Metrics
  #used = 0
  #kept = 0
  #dialling = 0

  constructor(limit: number, metrics: Metrics) {
    this.#limit = limit
    this.#metrics = metrics
  }

  /** False if there is no place. `give` must follow one that is true. */
  take(): boolean {
    if (this.#used >= this.#limit) {
      this.#metrics.hit('broker_lanes', { limit: this.#limit })
      return false
    }
    this.#used += 1
    return true
  }

  give(): void {
    this.#used -= 1
  }

  /** As `take`, for a lane that is kept. `giveKept` must follow one that is true. */
  takeKept(): boolean {
    if (this.#kept >= this.#limit * KEPT_SHARE || !this.take()) return false
    this.#kept += 1
    return true
  }

  giveKept(): void {
    this.#kept -= 1
    this.give()
  }

  /** Runs `dial` unless many are under way: the other agent takes only so many that have not proved themselves. */
  dial<T>(dial: () => Promise<T>): Promise<T> | undefined {
    if (this.#dialling >= MAX_DIALLING) return undefined
    this.#dialling += 1
    return dial().finally(() => {
      this.#dialling -= 1
    })
  }
}
