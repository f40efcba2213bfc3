import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import type { BrokerLimits } from '../proxy/index.ts'
import { DEFAULT_LIMITS as BROKER } from '../proxy/index.ts'
import { DEFAULT_LIMITS as WORKLOADS, type WorkloadLimits } from '../workloads/index.ts'

/** Limits that an operator may set; by the names of docs/limits.md. */
export interface AgentLimits {
  readonly broker: BrokerLimits
  readonly workloads: WorkloadLimits
}

type Place = readonly ['broker', keyof BrokerLimits] | readonly ['workloads', keyof WorkloadLimits]

/** The rest are bounds of messages and of what strangers may do: all hosts must agree on them, or nobody should raise them. */
const PLACES: Readonly<Partial<Record<LimitName, Place>>> = Object.freeze({
  registrations: ['workloads', 'maxTotal'],
  registrations_per_uid: ['workloads', 'maxPerUid'],
  broker_flows: ['broker', 'flows'],
  broker_flows_per_workload: ['broker', 'flowsPerWorkload'],
  broker_sessions: ['broker', 'sessions'],
  broker_sessions_per_machine: ['broker', 'sessionsPerMachine'],
  broker_pending_dials: ['broker', 'pendingDials'],
  broker_pending_handshakes: ['broker', 'pendingHandshakes'],
  broker_pending_handshakes_per_host: ['broker', 'pendingHandshakesPerHost'],
  broker_endpoints_per_uid: ['broker', 'endpointsPerUid'],
  broker_lanes: ['broker', 'lanes'],
  broker_datagrams_per_second: ['broker', 'datagramsPerSecond']
})

export const LIMIT_OPTIONS = Object.freeze(Object.keys(PLACES))
/** More of anything is not what one process can carry; a typing error is likelier. */
export const MAX_LIMIT = 10_000_000

/** `given` over the defaults. Throws INVALID_OPTION for an unknown name, and unless each is an integer from 1 to `MAX_LIMIT`. */
export function resolveLimits(given: Readonly<Record<string, number>> = {}): AgentLimits {
  const limits = { broker: { ...BROKER }, workloads: { ...WORKLOADS } }
  for (const [name, value] of Object.entries(given)) {
    const place = Object.hasOwn(PLACES, name) ? PLACES[name as LimitName] : undefined
    if (place === undefined) {
      throw new WarrenError(ErrorCode.InvalidOption, `"${name.slice(0, 80)}" is no limit that can be set`, {
        hint: `Those are: ${LIMIT_OPTIONS.join(', ')}.`
      })
    }
    if (!Number.isSafeInteger(value) || value < 1 || value > MAX_LIMIT) {
      throw new WarrenError(ErrorCode.InvalidOption, `limit ${name} must be a whole number from 1 to ${MAX_LIMIT}`)
    }
    const [group, key] = place
    Object.assign(limits[group], { [key]: value })
  }
  return Object.freeze({ broker: Object.freeze(limits.broker), workloads: Object.freeze(limits.workloads) })
}
