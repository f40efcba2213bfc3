/** Bounds of one local socket, so that no local user can exhaust the agent through it. */
export interface LocalLimits {
  /** Connections at once, of all callers. @default 2_048 */
  readonly maxConnections: number
  /** Connections at once, of one uid. @default 256 */
  readonly maxConnectionsPerUid: number
  /** Calls at once on all connections of one uid, open streams included. @default 2_048 */
  readonly maxCallsPerUid: number
  /** Streams of changes at once on all connections of one uid: all streams but Keep. @default 512 */
  readonly maxWatchesPerUid: number
  /** Bytes of answers that wait for readers of one uid. Beyond it, further calls wait; see `Share`. @default 8_388_608 */
  readonly waitingBytes: number
  /** Bytes of answers for one uid in a second; see `Share` for how calls and time are counted. @default 8_388_608 */
  readonly bytesPerSecond: number
  /** HTTP/2 streams at once on one connection. Beyond it a client waits, so it is not below what one process needs. @default 1_024 */
  readonly maxStreams: number
  /** Size of one request message. @default 65_536 */
  readonly maxBodyBytes: number
  /** Size of the headers of one request. @default 16_384 */
  readonly maxHeaderBytes: number
  /** Time from accept to the headers of the first request, in milliseconds. @default 10_000 */
  readonly firstRequestMs: number
  /** Time from the headers of a request to the end of its body, in milliseconds. @default 10_000 */
  readonly bodyMs: number
  /** Time without any call under way before the connection is closed, in milliseconds. @default 300_000 */
  readonly idleMs: number
  /** The longest a call that is not a stream may take, in milliseconds. @default 60_000 */
  readonly requestMs: number
}

/** The limits of an agent, unless it is given others. */
export const LOCAL_LIMITS: LocalLimits = Object.freeze({
  maxConnections: 2_048,
  maxConnectionsPerUid: 256,
  maxCallsPerUid: 2_048,
  maxWatchesPerUid: 512,
  waitingBytes: 8 * 1_024 * 1_024,
  bytesPerSecond: 8 * 1_024 * 1_024,
  maxStreams: 1_024,
  maxBodyBytes: 65_536,
  maxHeaderBytes: 16_384,
  firstRequestMs: 10_000,
  bodyMs: 10_000,
  idleMs: 300_000,
  requestMs: 60_000
})
