import type { DescMethod } from '@bufbuild/protobuf'
import type { PeerCredentials } from '../attest/index.ts'
import { Quota } from '../core/index.ts'
import { adminPb, apiPb } from '../wire/index.ts'

/** Connections beyond the limits that a socket keeps for the operator, and as many calls. */
export const OPERATOR_RESERVE = 16

const { getStatus, listServices, inspect, deregister } = apiPb.WorkloadService.method
/** Calls that show what is wrong or end it. A registration would need a lasting connection. */
const CALLS: ReadonlySet<DescMethod> = new Set([getStatus, listServices, inspect, deregister])

interface Reserved {
  readonly isBusy: boolean
  readonly destroy: () => void
}

/**
 * What a socket keeps for the operator when its limits are reached: root and the agent's own user, outside of containers, can always
 * see why.
 */
export class OperatorReserve {
  readonly #agentUid: number | undefined
  readonly #calls = new Quota<'calls'>(OPERATOR_RESERVE, OPERATOR_RESERVE)
  /** Oldest first. */
  readonly #connections = new Set<Reserved>()

  constructor(agentUid: number | undefined) {
    this.#agentUid = agentUid
  }

  isOperator({ uid, view }: Pick<PeerCredentials, 'uid' | 'view'>): boolean {
    return view.isOfHost && (uid === 0 || uid === this.#agentUid)
  }

  serves(method: DescMethod): boolean {
    return method.parent === adminPb.AdminService || CALLS.has(method)
  }

  /** A place for a call beyond the limit of its user; undefined if there is none for it. */
  takeCall(who: Pick<PeerCredentials, 'uid' | 'view'>, method: DescMethod): (() => void) | undefined {
    return this.isOperator(who) && this.serves(method) ? this.#calls.take('calls') : undefined
  }

  /** Makes room for one connection: the oldest without a call under way is closed for it. Returns whether there is room. */
  makeRoom(): boolean {
    if (this.#connections.size < OPERATOR_RESERVE) return true
    for (const connection of this.#connections) {
      if (connection.isBusy) continue
      this.#connections.delete(connection)
      connection.destroy()
      return true
    }
    return false
  }

  add(connection: Reserved): void {
    this.#connections.add(connection)
  }

  delete(connection: Reserved): void {
    this.#connections.delete(connection)
  }
}
