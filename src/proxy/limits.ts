import { definedOnly, ErrorCode, type LimitName, type LogFields, type Metrics, WarrenError } from '../core/index.ts'

/** Limits of this agent. Beyond a limit the answer is LIMIT_EXCEEDED, which names it. */
export interface ProxyLimits {
  /** Flows through this agent, as source or destination. @default 20_000 */
  readonly flows: number
  /** Flows of one registration of this host, in either role. @default 8_192 */
  readonly flowsPerWorkload: number
  /**
   * Datagrams that one registration of this host may send and receive in a second. Beyond it they are dropped. @default
   * 100_000
   */
  readonly datagramsPerSecond: number
  /** Connections of TCP and UDP that others may open to one registration of this host in a second. @default 10_000 */
  readonly connectsPerWorkload: number
  /** Bytes of all flows that wait in this agent for readers that stand still. @default 268_435_456 */
  readonly waitingBytes: number
  /** The same, of the flows of one registration of this host. @default 67_108_864 */
  readonly waitingBytesPerWorkload: number
  /** The same, of the flows between one source and one destination. @default 33_554_432 */
  readonly waitingBytesPerSession: number
  /** Bytes that may be sent again, kept for flows that can be resumed. @default 134_217_728 */
  readonly resumeBytes: number
  /** The same, of the flows of one registration of this host. @default 67_108_864 */
  readonly resumeBytesPerWorkload: number
  /** Sessions that this agent opened, and as many that others opened to it. @default 2_048 */
  readonly sessions: number
  /** Sessions that the agents of one host opened to this agent. @default 512 */
  readonly sessionsPerMachine: number
  /** Sessions that are being opened. @default 128 */
  readonly pendingDials: number
  /** Connections to the data port that have not proved an identity. @default 1_024 */
  readonly pendingHandshakes: number
  /** The same, from one IPv4 address or one /64 of IPv6. @default 512 */
  readonly pendingHandshakesPerHost: number
  /** Local endpoints of one user. @default 1_024 */
  readonly endpointsPerUid: number
  /** Listeners that processes of one user have bound and passed to the agent. @default 256 */
  readonly listenersPerUid: number
  /** Joiners served at once, and as many hosts that ask for a renewal at the data port. @default 640 */
  readonly joins: number
  /** The same, from one IPv4 address or one /64 of IPv6. @default 512 */
  readonly joinsPerHost: number
  /** Connections to targets, cached from a preflight for the flow that follows it. @default 256 */
  readonly preconnectedTargets: number
  /**
   * Fast-path connections, half of which may be pooled for later flows. Without one, flows stay on their session.
   * @default 512
   */
  readonly fastPathConnections: number
}

export const DEFAULT_LIMITS: ProxyLimits = Object.freeze({
  flows: 20_000,
  flowsPerWorkload: 8_192,
  datagramsPerSecond: 100_000,
  connectsPerWorkload: 10_000,
  waitingBytes: 256 * 1024 * 1024,
  waitingBytesPerWorkload: 64 * 1024 * 1024,
  waitingBytesPerSession: 32 * 1024 * 1024,
  resumeBytes: 128 * 1024 * 1024,
  resumeBytesPerWorkload: 64 * 1024 * 1024,
  sessions: 2_048,
  sessionsPerMachine: 512,
  pendingDials: 128,
  pendingHandshakes: 1_024,
  pendingHandshakesPerHost: 512,
  endpointsPerUid: 1_024,
  listenersPerUid: 256,
  joins: 640,
  joinsPerHost: 512,
  preconnectedTargets: 256,
  fastPathConnections: 512
})

/** Returns `limits` over the defaults. Throws INVALID_OPTION unless each is a positive integer. */
export function resolveLimits(limits: Partial<ProxyLimits> = {}): ProxyLimits {
  const resolved = Object.freeze({ ...DEFAULT_LIMITS, ...definedOnly(limits) })
  for (const [name, value] of Object.entries(resolved)) {
    if (!Number.isSafeInteger(value) || value <= 0) {
      throw new WarrenError(ErrorCode.InvalidOption, `limit ${name} must be a positive integer`)
    }
  }
  return resolved
}

/** Counts a hit of a limit, and returns the error for it. */
export function limitExceeded(
  metrics: Metrics,
  name: LimitName,
  what: string,
  limit: number,
  fields: LogFields = {}
): WarrenError {
  metrics.hit(name, { limit, ...fields })
  return new WarrenError(ErrorCode.LimitExceeded, `${what}: the limit of ${limit} is reached`)
}
