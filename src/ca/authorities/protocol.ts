/** Bound of each message: two certificates and a request at most. */
export const MAX_AUTHORITY_BYTES = 24 * 1024
export const AUTHORITY_PROTOCOL = '/warren/authority/1'
