/**
 * Every limit of the mesh in one place: on everything that a peer, admitted or not, can make this host hold, wait for or do.
 *
 * Times are in milliseconds, sizes in bytes.
 */

/** One Admission message: at most four certificates of at most 8 KB each. */
export const MAX_ADMISSION_BYTES = 32 * 1024
/** From the first byte of the encrypted exchange to its end. Shorter than libp2p's own upgrade limit of 10 s. */
export const ADMISSION_TIMEOUT_MS = 5_000
/** Data that may wait behind the Admission message while we verify it: the first frames of an early peer. */
export const MAX_EARLY_BYTES = 256 * 1024

/** One gossip message. Larger state travels by request. */
export const MAX_GOSSIP_BYTES = 64 * 1024
/** One gossipsub RPC, which may carry several messages; above this, the sender's stream is dropped. */
export const MAX_GOSSIP_RPC_BYTES = 4 * 1024 * 1024
/** Data that may wait for one slow peer's gossip stream; above this, its stream is dropped and later replaced. */
export const MAX_GOSSIP_BACKLOG_BYTES = 4 * 1024 * 1024
/** Gossip messages of one neighbour that are verified: this many a second, after a burst. The rest is ignored. */
export const GOSSIP_RATE = { perSecond: 1_000, burst: 4_000 } as const
/** Bytes of gossip of one neighbour that are read in one turn of the event loop: some heads, or a part of a large message. */
export const GOSSIP_TURN_BYTES = 4 * 1024
/** Bytes that wait for their turn; above this, the neighbour has to wait. A message of the largest size fits. */
export const MAX_GOSSIP_WAITING_BYTES = 256 * 1024

/** The delay before a message that came directly from its author is forwarded. gossipsub forgets it after some seconds. */
export const PASS_ON_MIN_MS = 20
export const PASS_ON_SPREAD_MS = 80

/** The highest possible limit of a request or a response. Below the write buffer; otherwise the stream would be aborted. */
export const MAX_EXCHANGE_BYTES = 2 * 1024 * 1024
/** Requests of one peer, over all protocols: this many a second, after a burst. */
export const REQUEST_RATE = { perSecond: 100, burst: 200 } as const
export const MAX_REQUESTS_PER_PEER = 16
export const MAX_REQUESTS = 256
export const REQUEST_TIMEOUT_MS = 5_000
/** How long a peer may take to send its request, and to take our response. */
export const SERVE_TIMEOUT_MS = 10_000
/** Streams of requests open at a time in one connection; above this they are reset without an answer. */
export const MAX_REQUEST_STREAMS = 64
/** Streams of requests to one peer that are kept for the next request, and for how long. */
export const MAX_KEPT_STREAMS_PER_PEER = 2
export const KEPT_STREAM_REST_MS = 5 * 60_000
/** How long a peer may keep one open between two requests: longer, so that the requester never finds it just closed. */
export const SERVED_STREAM_REST_MS = 2 * KEPT_STREAM_REST_MS
/** Name of a protocol, in front of each request. */
export const MAX_PROTOCOL_NAME_BYTES = 64
/** Explanation sent with a refused request. */
export const MAX_REASON_BYTES = 512

/**
 * The window of a stream, and the buffer that must be able to hold it: a peer may send a whole window to a
 * stream that is paused, and one more that was granted while we resumed. So the window is at most half of the buffer.
 */
export const MAX_STREAM_WINDOW_BYTES = 1024 * 1024
export const MAX_STREAM_READ_BYTES = 2 * MAX_STREAM_WINDOW_BYTES
export const MAX_STREAM_WRITE_BYTES = 4 * 1024 * 1024
export const MAX_STREAMS_PER_CONNECTION = 512
/** Data carriers to or from one peer. One carrier holds one session of many flows. */
export const MAX_CARRIERS_PER_PEER = 256

/**
 * Streams that this host joins for members that do not reach each other: per requesting member, and in all. Each may hold a
 * read buffer in each direction; a stalled link fills half of it: 512 MB in the worst case.
 */
export const MAX_RELAYED_PER_PEER = 64
export const MAX_RELAYED = 256
/** Streams that one member may ask us to join: this many a second, after a burst. */
export const RELAY_RATE = { perSecond: 20, burst: 128 } as const
/** From the first byte of a stream to be relayed until it is joined, including the dial of the wanted member. */
export const RELAY_JOIN_TIMEOUT_MS = 3_000
/** Members that are asked to relay, and the time between one and the next. */
export const MAX_RELAYS_TRIED = 4
export const RELAY_STAGGER_MS = 250

export const MAX_CONNECTIONS = 1_024
/** Inbound connections that are not admitted yet, in all and from one IPv4 address or one /64 of IPv6. */
export const MAX_PENDING_CONNECTIONS = 1_024
export const MAX_PENDING_CONNECTIONS_PER_HOST = 512
/** Connections of the data plane at the mesh port: above its own bounds for all that it accepts. */
export const MAX_SHARED_CONNECTIONS = 4_096
/** From the accept to the choice of the protocol, which are the first bytes of the other side. */
export const FIRST_BYTES_TIMEOUT_MS = 2_000
/** New connections per second and address. Many agents may share one address: NAT, containers. */
export const INBOUND_CONNECTIONS_PER_SECOND = 256

/** The connect to an address of a peer, and the same again for the admission there. */
export const ADDRESS_DIAL_TIMEOUT_MS = 3_000
/** The same on a machine that lags: see `Lag`. */
export const MAX_ADDRESS_DIAL_TIMEOUT_MS = 8_000
/** Above this lag we dial fewer at once. */
export const LAGGING_MS = 100
export const MAX_PARALLEL_DIALS = 16
/** As many as a host announces. All are tried in one round. */
export const MAX_ADDRESSES_PER_PEER = 16
export const MAX_ADDRESS_LENGTH = 256
/** Peers remembered as members or seeds: twice the owners that a registry holds, since some are away. */
export const MAX_KNOWN_PEERS = 8_192
/** Peers known only by an unauthenticated answer on the local network. */
export const MAX_HINTED_PEERS = 64
/** A peer known by a hint is forgotten after this many failures; another hint adds it again. */
export const HINT_ATTEMPTS = 5
export const BACKOFF_MIN_MS = 250
export const BACKOFF_MAX_MS = 10_000
/** When a lost host is found again, the other lost ones are tried within this time. */
export const HURRY_SPREAD_MS = 1_000
/** Up to this many members, this one and the others form a full mesh. Above that, each keeps its neighbours: see `neighboursOf`. */
export const FULL_MESH_MEMBERS = 64
/** With fewer connections than this, seeds are dialled again. */
export const FEW_CONNECTIONS = 3
/** Without a use for this long, a connection that was dialled for one use ends; how often to look. */
export const ON_DEMAND_IDLE_MS = 30_000
export const ON_DEMAND_CHECK_MS = 5_000

/** How often to check whether a cancelled dial has ended. */
export const DIAL_POLL_MS = 20
/** How often to look for due dials. */
export const REDIAL_TICK_MS = 100
/** The same while nothing happens and no dial is due. Whatever happens ends the rest. */
export const REDIAL_REST_MS = 10_000
/** Head start of the host with the smaller key when two learn of each other, or lose each other. */
export const HEAD_START_MS = 400
/**
 * A connection without data for this long is checked; how often to look for such connections. Below the 60 s after which some
 * firewalls forget a connection. A host that vanished is found by the failure detector, in seconds.
 */
export const SILENCE_MS = 30_000
export const SILENCE_CHECK_MS = 5_000
/** A connection that received something less than this ago is in use: a silent one has been asked since. */
export const LIVELY_MS = SILENCE_MS + SILENCE_CHECK_MS
/** Time to answer. A host may be stopped, or be without processor time, for some seconds. */
export const SILENCE_TIMEOUT_MS = 15_000
/** The same where another connection to the same host has moved to another path. */
export const DOUBTED_TIMEOUT_MS = 1_500
/** The same for a connection whose address on this host is gone. It may come back in this time. */
export const GONE_ADDRESS_TIMEOUT_MS = 3_000
/** The longest delay that a timer of Node accepts, 25 days. */
export const MAX_TIMER_MS = 2 ** 31 - 1
/** Between two rounds of gossipsub: it completes its links to neighbours, and forgets what is old. */
export const GOSSIP_HEARTBEAT_MS = 4_000
/** How often to look for lost gossip streams. */
export const GOSSIP_REPAIR_MS = 2_000
/** A connection younger than this may not have opened its first gossip stream yet. */
export const GOSSIP_GRACE_MS = 10_000

/** From the request for a carrier to the carrier, dial included. */
export const OPEN_TIMEOUT_MS = 10_000
/** If a host does not close a connection within this time, the connection is aborted. */
export const CLOSE_TIMEOUT_MS = 1_000
export const STOP_TIMEOUT_MS = 5_000
