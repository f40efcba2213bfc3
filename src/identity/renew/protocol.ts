/** ALPN of the renewal of a host whose certificate has expired, on the data port. */
export const RENEW_ALPN = 'warren-renew/1'

/** Limits of the exchange: of each message, and of the whole. A request holds three certificates and a binding. */
export const MAX_RENEWAL_BYTES = 48 * 1024
export const RENEWAL_TIMEOUT_MS = 10_000
