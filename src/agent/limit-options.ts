import { LOCAL_LIMITS as API } from '../api/index.ts'
import { DEFAULT_AUDIT_MEBIBYTES } from '../audit/index.ts'
import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'
import { DEFAULT_LIMITS as PROXY, type ProxyLimits } from '../proxy/index.ts'
import { DEFAULT_LIMITS as WORKLOADS, type WorkloadLimits } from '../workloads/index.ts'

/** Those of LocalLimits that can be set. Named here: the declarations of a program that runs an agent need not include the API's. */
type ApiLimit = 'maxConnections' | 'maxConnectionsPerUid' | 'maxCallsPerUid' | 'maxWatchesPerUid' | 'bytesPerSecond'

/** Limits that an operator may set; by the names of docs/limits.md. */
export interface AgentLimits {
  /** All files of the audit log together. */
  readonly audit: { readonly mebibytes: number }
  /** Of each local socket. */
  readonly api: Readonly<Record<ApiLimit, number>>
  readonly proxy: ProxyLimits
  readonly workloads: WorkloadLimits
}

type Place =
  | readonly ['audit', 'mebibytes']
  | readonly ['api', ApiLimit]
  | readonly ['proxy', keyof ProxyLimits]
  | readonly ['workloads', keyof WorkloadLimits]

/** The rest bound messages and the work for strangers: all hosts must agree on them, or nobody should raise them. */
const PLACES: Readonly<Partial<Record<LimitName, Place>>> = Object.freeze({
  audit_mebibytes: ['audit', 'mebibytes'],
  api_connections: ['api', 'maxConnections'],
  api_connections_per_uid: ['api', 'maxConnectionsPerUid'],
  api_calls_per_uid: ['api', 'maxCallsPerUid'],
  api_watches_per_uid: ['api', 'maxWatchesPerUid'],
  api_bytes_per_second: ['api', 'bytesPerSecond'],
  registrations: ['workloads', 'maxTotal'],
  registrations_per_uid: ['workloads', 'maxPerUid'],
  proxy_flows: ['proxy', 'flows'],
  proxy_flows_per_workload: ['proxy', 'flowsPerWorkload'],
  proxy_connects_per_workload: ['proxy', 'connectsPerWorkload'],
  proxy_waiting_bytes: ['proxy', 'waitingBytes'],
  proxy_waiting_bytes_per_workload: ['proxy', 'waitingBytesPerWorkload'],
  proxy_resume_bytes: ['proxy', 'resumeBytes'],
  proxy_resume_bytes_per_workload: ['proxy', 'resumeBytesPerWorkload'],
  proxy_waiting_bytes_per_session: ['proxy', 'waitingBytesPerSession'],
  proxy_sessions: ['proxy', 'sessions'],
  proxy_sessions_per_machine: ['proxy', 'sessionsPerMachine'],
  proxy_pending_dials: ['proxy', 'pendingDials'],
  proxy_pending_handshakes: ['proxy', 'pendingHandshakes'],
  proxy_pending_handshakes_per_host: ['proxy', 'pendingHandshakesPerHost'],
  proxy_endpoints_per_uid: ['proxy', 'endpointsPerUid'],
  proxy_listeners_per_uid: ['proxy', 'listenersPerUid'],
  proxy_fastpath_connections: ['proxy', 'fastPathConnections'],
  proxy_datagrams_per_second: ['proxy', 'datagramsPerSecond']
})

export const LIMIT_OPTIONS = Object.freeze(Object.keys(PLACES))
/** One process cannot carry more of anything; a larger number is a typing error. */
export const MAX_LIMIT = 10_000_000

/** `given` over the defaults. Throws INVALID_OPTION for an unknown name, and unless each is an integer from 1 to `MAX_LIMIT`. */
export function resolveLimits(given: Readonly<Record<string, number>> = {}): AgentLimits {
  const limits = {
    audit: { mebibytes: DEFAULT_AUDIT_MEBIBYTES },
    api: { ...API },
    proxy: { ...PROXY },
    workloads: { ...WORKLOADS }
  }
  for (const [name, value] of Object.entries(given)) {
    const place = Object.hasOwn(PLACES, name) ? PLACES[name as LimitName] : undefined
    if (place === undefined) {
      throw new WarrenError(ErrorCode.InvalidOption, `"${name.slice(0, 80)}" is not a limit that can be set`, {
        hint: `The limits that can be set are: ${LIMIT_OPTIONS.join(', ')}.`
      })
    }
    if (!Number.isSafeInteger(value) || value < 1 || value > MAX_LIMIT) {
      throw new WarrenError(ErrorCode.InvalidOption, `limit ${name} must be a whole number from 1 to ${MAX_LIMIT}`)
    }
    const [group, key] = place
    Object.assign(limits[group], { [key]: value })
  }
  return Object.freeze({
    audit: Object.freeze(limits.audit),
    api: Object.freeze(limits.api),
    proxy: Object.freeze(limits.proxy),
    workloads: Object.freeze(limits.workloads)
  })
}
