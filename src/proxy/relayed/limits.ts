/** Connections that one host may ask this one to join: this many a second, after a burst. */
export const JOIN_RATE = { perSecond: 16, burst: 128 } as const
/** Hosts whose rate is remembered. */
export const MAX_JOIN_HOSTS = 4_096
/** Pairs of connections that are joined here or wait for one of the two: for one host that asked, and for all. */
export const MAX_JOINED_PER_HOST = 128
export const MAX_JOINED = 512
/** Members that are asked to join two connections. */
export const MAX_RELAYS_TRIED = 4
