/** Connections that one host may ask this agent for: this many a second, after a burst. */
export const REVERSE_RATE = { perSecond: 64, burst: 128 } as const
/** Hosts whose rate is remembered. */
export const MAX_REVERSE_HOSTS = 4_096
/** Connections that this agent makes at a time because others ask: for one host, and for all. */
export const MAX_REVERSE_DIALS_PER_HOST = 64
export const MAX_REVERSE_DIALS = 512
/** Connections that this agent asks others for at a time: for the workloads of one user, and for all. */
export const MAX_REVERSE_WAITING_PER_USER = 128
export const MAX_REVERSE_WAITING = 256
/** Connections that one request may ask for. */
export const MAX_TOKENS = 32
/** Ports of one host that are dialled. It announces one data port for all of its addresses, and the port of its mesh. */
export const MAX_REVERSE_PORTS = 3
