import { ErrorCode, WarrenError } from '../core/index.ts'

/** Limits on everything that a peer can make this host hold or parse. Sizes in bytes, counts in items. */
export interface Limits {
  /** Owners held at once, this host included; heads of further owners are ignored with an alarm. @default 4_096 */
  readonly maxOwners: number
  /** Records of one owner. @default 131_072 */
  readonly maxRecords: number
  /** One encoded record. @default 8_192 */
  readonly maxRecordBytes: number
  /** One of the 256 buckets of a set. Must fit a sync response; otherwise the set could not be fetched. @default 524_288 */
  readonly maxBucketBytes: number
  /** All records of one owner. @default 67_108_864 */
  readonly maxSetBytes: number
  /** All records of all owners. @default 536_870_912 */
  readonly maxTotalBytes: number
  /** Labels of one record. @default 32 */
  readonly maxLabels: number
  /** Characters of a label's name or value. @default 256 */
  readonly maxLabelLength: number
  /** Patterns in the whitelist of one record. @default 64 */
  readonly maxWhitelist: number
  /** Ports of one record. @default 16 */
  readonly maxPorts: number
  /** Mesh addresses of one head; the same limit applies to its data addresses. @default 16 */
  readonly maxAddresses: number
  /** Characters of an address. @default 256 */
  readonly maxAddressLength: number
  /** Capabilities of one head, each of 64 characters. @default 32 */
  readonly maxCapabilities: number
  /** One gossip message. A change that does not fit travels by sync. @default 131_072 */
  readonly maxGossipBytes: number
  /** One sync request. @default 262_144 */
  readonly maxRequestBytes: number
  /** One sync response. @default 1_048_576 */
  readonly maxResponseBytes: number
  /** A set up to this size is sent whole, a larger one in buckets. @default 262_144 */
  readonly maxInlineBytes: number
  /** Requests of one sync session; the next session fetches the rest. @default 1_024 */
  readonly maxSyncRequests: number
  /** Certificates of one chain. @default 4 */
  readonly maxChain: number
  /** One certificate. @default 8_192 */
  readonly maxCertificateBytes: number
  /** Own changes whose acknowledgements are remembered. @default 4_096 */
  readonly maxPublications: number
  /** Gossip of one owner, and invalid gossip of one neighbour, that is verified: sustained, per second. @default 100 */
  readonly gossipPerSecond: number
  /** The same limit, for a burst. @default 300 */
  readonly gossipBurst: number
}

export const DEFAULT_LIMITS: Limits = Object.freeze({
  maxOwners: 4_096,
  maxRecords: 131_072,
  maxRecordBytes: 8_192,
  maxBucketBytes: 524_288,
  maxSetBytes: 67_108_864,
  maxTotalBytes: 536_870_912,
  maxLabels: 32,
  maxLabelLength: 256,
  maxWhitelist: 64,
  maxPorts: 16,
  maxAddresses: 16,
  maxAddressLength: 256,
  maxCapabilities: 32,
  maxGossipBytes: 131_072,
  maxRequestBytes: 262_144,
  maxResponseBytes: 1_048_576,
  maxInlineBytes: 262_144,
  maxSyncRequests: 1_024,
  maxChain: 4,
  maxCertificateBytes: 8_192,
  maxPublications: 4_096,
  gossipPerSecond: 100,
  gossipBurst: 300
})

/** A head has a few hundred bytes; this leaves room for every address that it may carry. */
export const MAX_HEAD_BYTES = 16_384
/** Skew of another host's clock that is accepted, in milliseconds. */
export const MAX_SKEW_MS = 30_000
/** A quarantined owner is ignored for this long, in milliseconds, and then accepted only with a greater epoch. */
export const QUARANTINE_MS = 60_000
/** Greater epochs and seqs are refused: they would not fit the signed 64-bit integers of the store. */
export const MAX_COUNTER = 2n ** 62n
/** How far ahead of our clock an unproved claim of a peer can raise our epoch, in milliseconds. */
export const MAX_EPOCH_LEAD_MS = 24 * 3_600_000
/** Changes in one delta; more of them travel by sync. Receivers limit their decoding by it. */
export const MAX_DELTA_CHANGES = 2_048
/** Room in one response for the fields around its records. */
export const ENVELOPE_BYTES = 65_536

/** The defaults with `overrides`. Throws INVALID_OPTION for a limit that is not a positive integer, or contradicts another. */
export function resolveLimits(overrides: Partial<Limits> = {}): Limits {
  const limits = { ...DEFAULT_LIMITS, ...overrides }
  for (const [option, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value <= 0) throw invalid(option, 'must be a positive integer')
  }
  if (limits.maxBucketBytes > limits.maxResponseBytes - ENVELOPE_BYTES) {
    throw invalid('maxBucketBytes', `must leave ${ENVELOPE_BYTES} bytes of maxResponseBytes free`)
  }
  if (limits.maxInlineBytes > limits.maxResponseBytes - 2 * ENVELOPE_BYTES) {
    throw invalid('maxInlineBytes', `must leave ${2 * ENVELOPE_BYTES} bytes of maxResponseBytes free`)
  }
  if (limits.maxRecordBytes > limits.maxBucketBytes) throw invalid('maxRecordBytes', 'must not exceed maxBucketBytes')
  return Object.freeze(limits)
}

function invalid(option: string, why: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidOption, `${option} ${why}`)
}
