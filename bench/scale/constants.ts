/**
 * Bytes of a small request and its answer, in both directions, headers of TCP included, beside the payload. Measured on a stream
 * that is kept: docs/protocol/requests.md.
 */
export const REQUEST_BYTES = 354
/** An acknowledgement on a standing connection, in both directions: 289 and 297 measured among 10 and 50 real agents, `--real`. */
export const ACK_BYTES = 294
/**
 * What a host at rest sends and receives in a second beside renewals and synchronisation: signs of life, and what TCP keeps. Measured as what
 * 10 and 50 real agents, `--real`, have more than is computed: 450 and 600.
 */
export const SIGN_BYTES_PER_SECOND = 525
/** Bytes that gossipsub, yamux, noise and TCP add to one message, computed: topic and envelope 60, 12, 18 and 2 × 32 with the acknowledgement. */
export const MESSAGE_BYTES = 154
/** Group hashes that one request of synchronisation carries, and the number of groups. */
export const DIGEST_REQUEST_BYTES = 520
export const GROUPS = 64
/** The time for an answer of another host to "does that one answer you?", for one that does not: src/cluster/failure. */
export const PING_MS = 500
export const RELAYED_PING_MS = 400
export const DIAL_PING_MS = 1_500
export const NOTIFIED = 8
/** Members that are checked at once: src/cluster/failure/detector.ts. */
export const MAX_CHECKS = 64
