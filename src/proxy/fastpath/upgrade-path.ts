import type { Metrics } from '../../core/index.ts'
import type { RecordConnection } from './record-connection.ts'

/** From when on a fast-path connection is worth what it costs. */
export interface UpgradeThresholds {
  /** What a flow carries, both ways together, before it gets one; either of these is enough. */
  readonly bytes: number
  /** Reads of either end, for flows of many small messages. */
  readonly chunks: number
  /** Flows of one session that begin within a second, before fast-path connections are pooled for those that follow. */
  readonly flowsPerSecond: number
}

/** To make a fast-path connection costs both agents about as much as they save on so much. */
const UPGRADE_THRESHOLDS: UpgradeThresholds = { bytes: 512 * 1024, chunks: 64, flowsPerSecond: 16 }

export function upgradeThresholdsOf(thresholds: Partial<UpgradeThresholds> = {}): UpgradeThresholds {
  return { ...UPGRADE_THRESHOLDS, ...thresholds }
}

/** How a flow on a stream may get a fast-path connection. */
export type UpgradePath = {
  /** Places for fast-path connections; one is taken before there is one, and given back when its flow is over. */
  readonly budget: FastPathBudget
} & (
  | {
      /** This end, which opened the session, connects it once the flow is worth it. Rejects when there can be none. */
      readonly dial: () => Promise<RecordConnection>
      readonly thresholds: UpgradeThresholds
    }
  | {
      /** This end waits for it. The function returned ends that. */
      readonly listen: (taker: (connection: RecordConnection) => void) => () => void
    }
)

/**
 * The part of an agent's fast-path connections that may be kept, so that flows that carry much find a place beside flows that may
 * be idle.
 */
const POOLED_SHARE = 0.5
/** Fast-path connections that one session may keep: as many flows may begin and end at once without a stream. */
export const MAX_POOLED_PER_SESSION = 64
/** Below what an agent allows one address at its data port. */
const MAX_DIALLING = 32

/** How many fast-path connections this agent may have. Beyond it flows stay on their session. */
export class FastPathBudget {
  readonly #limit: number
  readonly #metrics: Metrics
  #used = 0
  #pooled = 0
  #dialling = 0

  constructor(limit: number, metrics: Metrics) {
    this.#limit = limit
    this.#metrics = metrics
  }

  /** False if there is no place. `give` must follow one that is true. */
  take(): boolean {
    if (this.#used >= this.#limit) {
      this.#metrics.hit('proxy_fastpath_connections', { limit: this.#limit })
      return false
    }
    this.#used += 1
    return true
  }

  give(): void {
    this.#used -= 1
  }

  /** As `take`, for a pooled fast-path connection. `releasePooled` must follow one that is true. */
  takePooled(): boolean {
    if (this.#pooled >= this.#limit * POOLED_SHARE || !this.take()) return false
    this.#pooled += 1
    return true
  }

  releasePooled(): void {
    this.#pooled -= 1
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
