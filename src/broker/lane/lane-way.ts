import type { Metrics } from '../../core/index.ts'
import type { Lane } from './lane.ts'

/** How a flow on a stream may get a lane. */
export type LaneWay = {
  /** Places for lanes; one is taken before there is one, and given back when its flow is over. */
  readonly budget: LaneBudget
} & (
  | {
      /** This end, which opened the session, connects it. Rejects when there can be none. */
      readonly dial: () => Promise<Lane>
    }
  | {
      /** This end waits for it. The function returned ends that. */
      readonly listen: (taker: (lane: Lane) => void) => () => void
    }
)

/** How many flows of this agent may have a connection of their own. Beyond it they stay on their session. */
export class LaneBudget {
  readonly #limit: number
  readonly #metrics: Metrics
  #used = 0

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
}
