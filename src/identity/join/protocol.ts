/** ALPN of the join exchange on the data port. */
export const JOIN_ALPN = 'warren-join/1'

/** Limits of the exchange: of each message, and of the whole exchange. */
export const MAX_JOIN_MESSAGE_BYTES = 64 * 1024
export const JOIN_TIMEOUT_MS = 10_000
export const JOIN_BOUNDS = { maxBytes: MAX_JOIN_MESSAGE_BYTES, timeoutMs: JOIN_TIMEOUT_MS } as const
