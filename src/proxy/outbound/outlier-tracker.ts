import { ErrorCode, type WarrenError } from '../../core/index.ts'
import type { Candidate } from '../deps.ts'
import { PathMemory } from '../path-memory.ts'

/** An instance that failed is tried after all others for this time, up to the second figure if it continues to fail. */
const PAUSES = { firstMs: 2_000, longestMs: 10_000 }

/**
 * Shares failures of instances between connections, until the probes of their hosts or their health show the same:
 * without it, each of two hundred connections a second would have to find out again.
 */
export class OutlierTracker {
  readonly #hosts: PathMemory
  readonly #instances: PathMemory

  constructor(nowMs: () => number) {
    this.#hosts = new PathMemory(PAUSES, nowMs)
    this.#instances = new PathMemory(PAUSES, nowMs)
  }

  /** Records that an instance failed; `silent` if no answer came from its host at all, which it shares with others. */
  failed({ machine, registrationId, local }: Candidate, error: WarrenError, silent: boolean): void {
    if (error.code !== ErrorCode.DestinationUnreachable) return
    if (silent && !local) this.#hosts.failed(machine)
    else this.#instances.failed(registrationId)
  }

  worked({ machine, registrationId }: Candidate): void {
    this.#hosts.worked(machine)
    this.#instances.worked(registrationId)
  }

  /** Returns the same order, but with outliers last. None is left out: it may be the only one that works. */
  last(order: readonly Candidate[]): readonly Candidate[] {
    if (order.length < 2) return order
    const isOutlier = ({ machine, registrationId }: Candidate): boolean =>
      this.#hosts.isBlocked(machine) || this.#instances.isBlocked(registrationId)
    return [...order.filter(one => !isOutlier(one)), ...order.filter(isOutlier)]
  }
}
