import type { LimitName, Metrics } from '../../core/index.ts'
import type { KeptAccount } from './slab.ts'

export interface KeptLimits {
  readonly resumeBytes: number
  readonly resumeBytesPerWorkload: number
}

/** The memory of kept bytes, of the agent and of each workload of this host. */
export class KeptAccounts {
  readonly #limits: KeptLimits
  readonly #metrics: Metrics
  readonly #workloads = new Map<string, number>()
  #usedBytes = 0

  constructor(limits: KeptLimits, metrics: Metrics) {
    this.#limits = limits
    this.#metrics = metrics
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** The account of a flow of a workload. `mayKeep` returns false while memory is scarce. */
  of(workload: string, mayKeep: () => boolean): KeptAccount {
    return {
      take: bytes => mayKeep() && this.#take(workload, bytes),
      give: bytes => this.#give(workload, bytes)
    }
  }

  #take(workload: string, bytes: number): boolean {
    const used = this.#workloads.get(workload) ?? 0
    const { resumeBytes, resumeBytesPerWorkload } = this.#limits
    if (this.#usedBytes + bytes > resumeBytes) return this.#hit('proxy_resume_bytes', resumeBytes)
    if (used + bytes > resumeBytesPerWorkload) {
      return this.#hit('proxy_resume_bytes_per_workload', resumeBytesPerWorkload)
    }
    this.#usedBytes += bytes
    this.#workloads.set(workload, used + bytes)
    return true
  }

  #give(workload: string, bytes: number): void {
    this.#usedBytes -= bytes
    const left = (this.#workloads.get(workload) ?? 0) - bytes
    if (left > 0) this.#workloads.set(workload, left)
    else this.#workloads.delete(workload)
  }

  #hit(name: LimitName, limit: number): false {
    this.#metrics.hit(name, { limit })
    return false
  }
}
