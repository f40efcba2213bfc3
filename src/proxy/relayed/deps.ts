import type { PeerKey } from '../../identity/index.ts'

/** The parts of the agent that relayed connections use. */
export interface RelayDeps {
  /** Members that this host may ask to join connections with the agent `peer`, at random. Empty if that agent takes none. */
  readonly relaysTo: (peer: PeerKey) => readonly PeerKey[]
  /** Whether the agent `peer` is a member, and takes connections that a relay has joined. */
  readonly takesJoined: (peer: PeerKey) => boolean
  readonly machineOf: (peer: PeerKey) => string
  /**
   * Sends a request to a relay. Resolves with the number of tokens that it and the wanted agent accepted; rejects with the refusal.
   */
  readonly askRelay: (relay: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<number>
  /** Sends the request of a relay, this one, to the wanted agent. */
  readonly askWanted: (wanted: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<number>
}
