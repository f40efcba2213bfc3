/** Limit of each message: at most two certificates and a request. */
export const MAX_AUTHORITY_BYTES = 24 * 1024
export const AUTHORITY_PROTOCOL = '/warren/authority/1'
