import type { Metrics } from '../../core/index.ts'
import type { RecordConnection } from './record-connection.ts'

/** When a fast-path connection is worth its cost. */
export interface UpgradeThresholds {
  /** Bytes that a flow carries, both directions together, before it gets one; either of these two is enough. */
  readonly bytes: number
  /** Reads of either end, for flows of many small messages. */
  readonly chunks: number
  /** Flows of one session that begin within a second, before fast-path connections are pooled for later ones. */
  readonly flowsPerSecond: number
  /**
   * A pooled connection on which the last flow ended no longer ago, in milliseconds, is most likely not lost. A flow whose first bytes
   * are lost with it fails, where another one begins elsewhere.
   */
  readonly freshMs: number
}

/** A fast-path connection costs both agents about as much as it saves on this amount. */
const UPGRADE_THRESHOLDS: UpgradeThresholds = { bytes: 512 * 1024, chunks: 64, flowsPerSecond: 16, freshMs: 2_000 }

export function upgradeThresholdsOf(thresholds: Partial<UpgradeThresholds> = {}): UpgradeThresholds {
  return { ...UPGRADE_THRESHOLDS, ...thresholds }
}

/** How a flow on a stream may get a fast-path connection. */
export type UpgradePath = {
  /** Places for fast-path connections. A flow takes one before it connects, and gives it back when it has ended. */
  readonly budget: FastPathBudget
} & (
  | {
      /**
       * This end, which opened the session, connects it once the flow is worth it. Rejects when there can be none. `isOver`: whether
       * the flow has ended, so that its failure counts for no other flow.
       */
      readonly dial: (isOver: () => boolean) => Promise<RecordConnection>
      readonly thresholds: UpgradeThresholds
      /** Time after which `dial` may work, if it has not. */
      readonly retryMs: () => number
    }
  | {
      /** This end waits for it. The returned function stops that. */
      readonly listen: (taker: (connection: RecordConnection) => void) => () => void
    }
)

/**
 * The share of an agent's fast-path connections that may be pooled, so that flows that carry much find a place beside
 * flows that may be idle.
 */
const POOLED_SHARE = 0.5
/** Fast-path connections that one session may pool: as many flows may begin and end at once without a stream. */
export const MAX_POOLED_PER_SESSION = 64
/** Below the number that an agent allows one address at its data port. */
const MAX_DIALLING = 32

/** Bounds the fast-path connections of this agent. Beyond it flows stay on their session. */
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

  /** Takes a place; false if there is none. `give` must follow if it returns true. */
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

  /** Same as `take`, for a pooled fast-path connection. `releasePooled` must follow if it returns true. */
  takePooled(): boolean {
    if (this.#pooled >= this.#limit * POOLED_SHARE || !this.take()) return false
    this.#pooled += 1
    return true
  }

  releasePooled(): void {
    this.#pooled -= 1
    this.give()
  }

  /**
   * Runs `dial` unless many are under way: the other agent accepts a limited number that have not proved themselves.
   */
  dial<T>(dial: () => Promise<T>): Promise<T> | undefined {
    if (this.#dialling >= MAX_DIALLING) return undefined
    this.#dialling += 1
    return dial().finally(() => {
      this.#dialling -= 1
    })
  }
}
