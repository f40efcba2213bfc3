import type { LimitName, Metrics } from '../../core/index.ts'
import { HeldFlows } from './held-flows.ts'
import { MAX_WAITING_BYTES } from './leg.ts'
import { PART, WaitingAccount } from './waiting-account.ts'

/** Who pays for what waits in a flow. */
export interface Payers {
  readonly session: WaitingAccount
  /** Of this host: one, or the two of a flow between them. */
  readonly workloads: readonly WaitingAccount[]
}

interface Counted {
  readonly account: WaitingAccount
  flows: number
}

export interface WaitingLimits {
  readonly waitingBytes: number
  readonly waitingBytesPerWorkload: number
  readonly waitingBytesPerSession: number
}

/** The accounts of the sessions and workloads in whose flows bytes wait, and that of the agent. */
export class WaitingAccounts {
  readonly agent: WaitingAccount
  readonly held = new HeldFlows()
  readonly #limits: WaitingLimits
  readonly #metrics: Metrics
  /** While the agent has no more than this, no account is short. */
  readonly #plentyBytes: number
  readonly #sessions = new Map<string, Counted>()
  readonly #workloads = new Map<string, Counted>()

  constructor(limits: WaitingLimits, metrics: Metrics) {
    this.#limits = limits
    this.#metrics = metrics
    this.agent = this.#account('proxy_waiting_bytes', limits.waitingBytes)
    const { waitingBytes, waitingBytesPerWorkload, waitingBytesPerSession } = limits
    const least = Math.min(waitingBytes, waitingBytesPerWorkload, waitingBytesPerSession)
    this.#plentyBytes = least - MAX_WAITING_BYTES * PART
  }

  get isPlenty(): boolean {
    return this.agent.usedBytes <= this.#plentyBytes
  }

  /** Returns the accounts of a flow. `leave` must follow, with the same names. */
  enter(session: string, workloads: readonly string[]): Payers {
    const { waitingBytesPerSession, waitingBytesPerWorkload } = this.#limits
    const of = (counted: Map<string, Counted>, key: string, name: LimitName, limit: number): WaitingAccount => {
      let entry = counted.get(key)
      if (entry === undefined) {
        entry = { account: this.#account(name, limit), flows: 0 }
        counted.set(key, entry)
      }
      entry.flows += 1
      return entry.account
    }
    return {
      session: of(this.#sessions, session, 'proxy_waiting_bytes_per_session', waitingBytesPerSession),
      workloads: workloads.map(id =>
        of(this.#workloads, id, 'proxy_waiting_bytes_per_workload', waitingBytesPerWorkload)
      )
    }
  }

  leave(session: string, workloads: readonly string[]): void {
    leave(this.#sessions, session)
    for (const id of workloads) leave(this.#workloads, id)
  }

  #account(name: LimitName, limit: number): WaitingAccount {
    return new WaitingAccount(limit, () => this.#metrics.hit(name, { limit }))
  }
}

function leave(counted: Map<string, Counted>, key: string): void {
  const entry = counted.get(key)
  if (entry === undefined) return
  entry.flows -= 1
  if (entry.flows === 0) counted.delete(key)
}
