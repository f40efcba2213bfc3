import type { PeerKey } from '../identity/index.ts'
import type { Now } from './lease.ts'
import type { Effect, HighWaterMark } from './message.ts'

/** Calls off what was begun; without effect once that is over. */
export type Cancel = () => void

/** What a host is told of, and needs not do anything about. */
export type Notice = Extract<Effect, { type: 'changed' | 'acknowledged' | 'alarm' | 'limit' }>

/**
 * What a RegistryDriver needs of the host it runs on: the agent gives it sockets, a disk and the clocks, the simulator
 * its own. No port calls back before it has returned.
 */
export interface DriverPorts {
  readonly now: () => Now
  /** 0 ≤ x < 1. */
  readonly random: () => number
  /** Calls `run` once after `ms` milliseconds by the monotonic clock. */
  readonly after: (ms: number, run: () => void) => Cancel
  /** Peers with a standing connection. */
  readonly connected: () => readonly PeerKey[]
  /** Peers that `publish` sends to. */
  readonly listening: () => readonly PeerKey[]
  /** Sends to the topic; what is lost on the way comes by synchronisation. */
  readonly publish: (bytes: Uint8Array) => void
  /** Sends a sync request. Calls one of the two exactly once, unless called off; must give up by a deadline of its own. */
  readonly request: (
    peer: PeerKey,
    bytes: Uint8Array,
    onResponse: (bytes: Uint8Array) => void,
    onFailure: (err: unknown) => void
  ) => Cancel
  /** Sends an acknowledgement, likewise. */
  readonly ack: (peer: PeerKey, bytes: Uint8Array, onDelivered: () => void, onFailure: (err: unknown) => void) => Cancel
  /** A session with this peer has ended well. */
  readonly synchronised: (peer: PeerKey) => void
  /** One has ended otherwise. */
  readonly notSynchronised?: (peer: PeerKey, err: unknown) => void
  /** Durable when it returns. If it throws, nothing that follows from these high-water marks is done. */
  readonly saveHighWaterMarks: (highWaterMarks: readonly HighWaterMark[]) => void
  readonly deleteHighWaterMark: (owner: PeerKey) => void
  /** In the order in which they happened. */
  readonly notify: (effect: Notice) => void
}
