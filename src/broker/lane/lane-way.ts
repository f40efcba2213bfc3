import type { Metrics } from '../../core/index.ts'
import type { Lane } from './lane.ts'

/** What a flow carries, both ways together, before it gets a lane: either is enough. */
export interface LaneWorth {
  readonly bytes: number
  /** Reads of either end, for flows of many small messages. */
  readonly chunks: number
}

/** To make a lane costs both agents about as much as they save on so much. */
export const LANE_WORTH: LaneWorth = { bytes: 512 * 1024, chunks: 64 }

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

/** Below what an agent allows one address at its data port. */
const MAX_DIALLING = 32

/** How many flows of this agent may have a connection of their own. Beyond it they stay on their session. */
export class LaneBudget {
  readonly #limit: number
  readonly #metrics: Metrics
  #used = 0
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

  /** Runs `dial` unless many are under way: the other agent takes only so many that have not proved themselves. */
  dial<T>(dial: () => Promise<T>): Promise<T> | undefined {
    if (this.#dialling >= MAX_DIALLING) return undefined
    this.#dialling += 1
    return dial().finally(() => {
      this.#dialling -= 1
    })
  }
}
