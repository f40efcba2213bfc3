/** Asks, and invitations, of one host: so many a second, after a burst. */
export const PUNCH_RATE = { perSecond: 8, burst: 32 } as const
/** Hosts whose rate is remembered. */
export const MAX_PUNCH_HOSTS = 4_096
/** Asks that this agent serves at a time: of one host, and of all. Below the number of requests that one host may have under way. */
export const MAX_PUNCH_ASKS_PER_HOST = 8
export const MAX_PUNCH_ASKS = 128
/** Connections that this agent makes at a time because it is invited: through one member, and through all. */
export const MAX_PUNCH_INVITES_PER_HOST = 8
export const MAX_PUNCH_INVITES = 64
/** Connections that this agent asks for at a time, and those that wait for their turn: for one user, and for all. */
export const MAX_PUNCHES = 4
export const MAX_PUNCH_WAITING_PER_USER = 32
export const MAX_PUNCH_WAITING = 64
/** Members that are asked to arrange a connection, one after the other, and the time between one and the next. */
export const MAX_RENDEZVOUS_TRIED = 3
export const RENDEZVOUS_STAGGER_MS = 1_000
/** Time for a connection to the data port of that member, and for its answer. */
export const OBSERVE_TIMEOUT_MS = 1_000
export const PUNCH_ASK_TIMEOUT_MS = 2_500
/** Time for the proof of a host that asks to arrive at the data port, and for the other host to ask as well. */
export const PROOF_TIMEOUT_MS = 1_000
export const OTHER_TIMEOUT_MS = 2_000
/** A connection that showed from where a host comes is closed after this time, if that host has not closed it. */
export const OBSERVED_MS = 5_000
/** Pauses before a host shows a member from where its datagrams come, until it is told: some are lost, or come too early. */
export const PROOF_REPEATS_MS: readonly number[] = [0, 40, 80, 160, 320]
/** Time for the answer of one member, the time between one and the next, and for all. */
export const SEEN_ASK_TIMEOUT_MS = 1_200
export const OBSERVER_STAGGER_MS = 500
export const SEEN_TIMEOUT_MS = 2_500
/** The answer is used for so long. Below the 30 s for which a NAT keeps the port of a datagram that had no answer (RFC 4787 asks for 2 minutes). */
export const SEEN_AGE_MS = 10_000
/** From the moment that both hosts know to their connection. */
export const PUNCH_TIMEOUT_MS = 1_200
/** Attempts in this time, where the other NAT rejects what comes too early, and the shortest pause between two. */
export const MAX_PUNCH_ATTEMPTS = 12
export const PUNCH_PAUSE_MS = 20
/** All of it, with the session on the connection. */
export const PUNCHED_DIAL_TIMEOUT_MS = 4_000
/** A session whose packets do not arrive looks for its datagram path so long before the two agents tell each other where they are. */
export const MEET_AFTER_MS = 800
/** Time for both agents to find out where they are, and to tell each other; and then for the first packet to arrive. */
export const MEET_TIMEOUT_MS = 4_000
export const MEET_FOUND_MS = 4_000
/** Pauses after a failure, of one session. */
export const MEET_PAUSES = { firstMs: 3_000, longestMs: 60_000 } as const
/** Sessions whose other end says where it is, at a time: of one host, and of all. */
export const MAX_MEETINGS_PER_HOST = 8
export const MAX_MEETINGS = 64
/** Ports below are those of well-known services. No NAT uses one for a connection from a higher port. */
export const MIN_PUNCHED_PORT = 1_024
