/** From accepting a local connection to the answer of the destination's agent. */
export const OPEN_TIMEOUT_MS = 10_000
/** Time for one instance, as long as there is another to try. Above the time after which a silent session is left. */
export const ATTEMPT_TIMEOUT_MS = 1_200
/** Time for all instances but the last together, though each has at least the second figure. */
export const ATTEMPTS_TIMEOUT_MS = 2_000
export const MIN_ATTEMPT_MS = 300
/** Time for one path to the other agent: TCP, TLS and its first HTTP/2 frame. */
export const DIAL_TIMEOUT_MS = 2_500
/** Time for a stream over the mesh, which may have to dial first, and for the TLS in it. */
export const CARRIER_TIMEOUT_MS = 6_000
/** Interval between the starts of attempts at two addresses of one agent. RFC 8305 recommends 250 ms. */
export const STAGGER_MS = 200
/** Time for a fast-path connection of a session: TCP and one exchange. */
export const FAST_PATH_TIMEOUT_MS = 3_000
/**
 * Time for the other end to begin on a fast-path connection that both have proved. Above the time that a busy agent may
 * need.
 */
export const FAST_PATH_START_TIMEOUT_MS = 5_000
/**
 * Pause after a fast-path connection to a host failed, before another is tried on the same session; doubled with each failure up to
 * the second figure. Short at first: the other agent refuses one while much waits in its flows, and for a flow that has just ended there.
 */
export const FAST_PATH_BACKOFF_MS = 250
export const FAST_PATH_BACKOFF_MAX_MS = 60_000
/**
 * An idle pooled fast-path connection is closed after this time by its opener, and after the second figure by the other
 * end.
 */
export const POOLED_IDLE_MS = 15_000
export const POOLED_INBOUND_IDLE_MS = 45_000
/**
 * Time for the reason of a cut flow to arrive: it comes on the session, and the end of the record connection may
 * overtake it.
 */
export const REASON_GRACE_MS = 500
/** Time for one attempt to continue a flow: a session by any carrier, and an answer. */
export const RESUME_TIMEOUT_MS = 8_000
/** Pause before the next attempt; doubled with each failure up to the second figure. */
export const RESUME_PAUSE_MS = 100
export const RESUME_PAUSE_MAX_MS = 1_000
/** For so long a process that follows another does nothing but to continue flows, as long as some wait. */
export const ADOPTED_TIMEOUT_MS = 500
/** Time for a local target to accept. */
export const TARGET_TIMEOUT_MS = 2_000
/** A silent connection to a local target is asked after this time whether the server is still there. */
export const TARGET_KEEPALIVE_MS = 60_000
/** Time for the answer to a pull of the source's registrations, while a flow waits for it. */
export const REFRESH_TIMEOUT_MS = 2_000
/** Time for the first byte of a connection to the data port, and for the request of a peer that waits for a refusal. */
export const FIRST_BYTE_TIMEOUT_MS = 2_000
/** Time for a client at the data port to finish its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 5_000
/** A connection waits this long for its turn where a registration or a rule limits connections: above the time of one a second. */
export const CONNECT_WAIT_MS = 1_500
/** Time for a joiner, from its handshake on. */
export const JOIN_TIMEOUT_MS = 30_000
/** A session without flows is closed after this time by its opener. */
export const SESSION_IDLE_MS = 60_000
/**
 * The other side closes it after this time, if the opener has not. Above SESSION_IDLE_MS, so that no flow is affected.
 */
export const INBOUND_IDLE_MS = 150_000
/** An endpoint is removed if nobody connects to it within this time. */
export const HELLO_TIMEOUT_MS = 10_000
/** An endpoint that has been used is removed after this long without a connection. */
export const ENDPOINT_IDLE_MS = 300_000
/** Time for which a connection made by a preflight waits for its flow. Not below HELLO_TIMEOUT_MS. */
export const PRECONNECT_MS = 12_000
/** A flow of datagrams ends after this time without one. RFC 4787 requires at least two minutes of a NAT. */
export const UDP_IDLE_MS = 120_000
/** A flow of datagrams ends after this time once one side has ended: for the last answers. */
export const UDP_LINGER_MS = 5_000
/** Interval between the starts of attempts on different carriers to one agent. A failed attempt ends the wait. */
export const CARRIER_STAGGER_MS = 500
/** First pause after no relay to a host was found, and the longest. */
export const RELAY_BACKOFF_MS = 500
export const RELAY_BACKOFF_MAX_MS = 5_000
/** First pause after the direct path to a host failed, and the longest. */
export const DIRECT_BACKOFF_MS = 3_000
export const DIRECT_BACKOFF_MAX_MS = 60_000
/** Time for the answer of an agent that is asked to dial this one, and for its connection to that which asks. */
export const REVERSE_ASK_TIMEOUT_MS = 2_500
export const REVERSE_DIAL_TIMEOUT_MS = 2_000
/** Time for the answer of a relay, for that of the agent behind it, and for both their connections to arrive at it. */
export const RELAY_ASK_TIMEOUT_MS = 2_500
export const RELAYED_ASK_TIMEOUT_MS = 1_500
export const JOIN_HALVES_TIMEOUT_MS = 5_000
/** Members that are asked to relay are asked one after another, so long apart. */
export const RELAY_STAGGER_MS = 250
/** Time for a session over connections that a relay joins. Then streams of the mesh are tried. */
export const RELAYED_TIMEOUT_MS = 3_000
/** First pause after the data port of an agent that asked was not reached, and the longest. */
export const REVERSE_BACKOFF_MS = 1_000
export const REVERSE_BACKOFF_MAX_MS = 60_000
/**
 * Time for both ends of a session to prove renewed certificates: an eighth of the time left to the proved ones, within
 * these bounds. The proof may have to wait behind bulk data on a slow link.
 */
export const PROOF_TIMEOUT_MS = 5_000
export const PROOF_TIMEOUT_MAX_MS = 60_000
/** Time that a session must have left to take flows after a renewal: for the next proof, and for that one to arrive. */
export const STAND_IN_MS = 10_000
/** Time for a request with a proof to arrive in full, once it has begun. */
export const PROOF_BODY_TIMEOUT_MS = 30_000
/**
 * Pause before the next attempt; doubled with each failure up to the second figure, or to an eighth of the time left if
 * that is less.
 */
export const PROOF_PAUSE_MS = 1_000
export const PROOF_PAUSE_MAX_MS = 60_000
/** Pause before a host that has a newer CA is asked to prove again, after it did. */
export const REPLACED_PAUSE_MS = 3_000
/** Time for all of stop(). */
export const STOP_TIMEOUT_MS = 2_000

/**
 * Liveness of a session that has flows: its opener pings twice a second, and the other end if it hears nothing for a second. Dead
 * when three seconds pass without a byte after a ping.
 *
 * Worst case from the loss of the link to the reset of its flows: QUIET_PING_INTERVAL_MS + PING_TIMEOUT_MS + 2 * LIVENESS_TICK_MS
 * = 4.5 s, which must stay below 5 s.
 */
export const PING_INTERVAL_MS = 500
export const QUIET_PING_INTERVAL_MS = 1_000
export const PING_TIMEOUT_MS = 3_000
export const LIVENESS_TICK_MS = 250
/**
 * After this long without a byte, new flows look for another path, and those on the session move if there is one; else they still
 * wait. With PING_INTERVAL_MS and a tick it must leave time for a session within the 2 s after which flows have moved.
 */
export const SILENT_AFTER_MS = 750
/** The same in round trips of the session, where these are long. */
export const SILENT_ROUND_TRIPS = 4
/** For so long other paths to an agent are tried before one that was silent. */
export const SILENT_PATH_MS = 30_000
