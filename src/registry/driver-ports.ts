import type { PeerKey } from '../identity/index.ts'
import type { Now } from './lease.ts'
import type { Effect, HighWaterMark, Wanted } from './message.ts'

/** Cancels what was begun; has no effect once that has ended. */
export type Cancel = () => void

/** An acknowledgement that somebody waits for, on its way to the owner. */
export interface GatheredAck extends Wanted {
  readonly owner: PeerKey
  readonly epoch: bigint
  readonly seq: bigint
  /** This host acknowledges directly: it only carries what others send. */
  readonly isSent: boolean
}

/** Notifications for the host; it need not act on them. */
export type Notice = Extract<Effect, { type: 'changed' | 'acknowledged' | 'alarm' | 'limit' }>

/**
 * The parts that a RegistryDriver needs from its host: the agent provides sockets, a disk and the clocks, the simulator
 * provides its own. No port calls back before it has returned.
 */
export interface DriverPorts {
  readonly now: () => Now
  /** 0 ≤ x < 1. */
  readonly random: () => number
  /** Calls `run` once after `ms` milliseconds by the monotonic clock. */
  readonly after: (ms: number, run: () => void) => Cancel
  /** Peers with an open connection. */
  readonly connected: () => readonly PeerKey[]
  /** Peers that `publish` sends to. */
  readonly listening: () => readonly PeerKey[]
  /** Sends to the topic; synchronisation replaces lost messages. */
  readonly publish: (bytes: Uint8Array) => void
  /** Sends a sync request. Calls exactly one of the two once, unless cancelled; must give up by a deadline of its own. */
  readonly request: (
    peer: PeerKey,
    bytes: Uint8Array,
    onResponse: (bytes: Uint8Array) => void,
    onFailure: (err: unknown) => void
  ) => Cancel
  /** Sends an acknowledgement, with the same rules. */
  readonly ack: (peer: PeerKey, bytes: Uint8Array, onDelivered: () => void, onFailure: (err: unknown) => void) => Cancel
  /** Carries acknowledgements of one head to its owner over permanent connections: those of others, and ours. */
  readonly gather: (ack: GatheredAck) => void
  /** A session with this peer ended well. */
  readonly synchronised: (peer: PeerKey) => void
  /** A session with this peer failed. */
  readonly notSynchronised?: (peer: PeerKey, err: unknown) => void
  /** Durable when it returns. If it throws, nothing that depends on these high-water marks is done. */
  readonly saveHighWaterMarks: (highWaterMarks: readonly HighWaterMark[]) => void
  readonly deleteHighWaterMark: (owner: PeerKey) => void
  /** In the order in which they happened. */
  readonly notify: (effect: Notice) => void
}
