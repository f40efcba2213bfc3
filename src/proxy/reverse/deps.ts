import type { HostPort } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'

/** The parts of the agent that reverse connections use. */
export interface ReverseDeps {
  /** The key of this host. */
  readonly peer: PeerKey
  /**
   * Asks the agent `peer` to connect to the data port of this host, once for each token. Resolves with the number of tokens that
   * it accepted; rejects with its refusal, with UNSUPPORTED if it makes no such connections.
   */
  readonly ask: (peer: PeerKey, tokens: Uint8Array, signal: AbortSignal) => Promise<number>
  /**
   * The data port of an admitted agent: where it has proved itself, and a port that it has signed. Nothing that comes with a
   * request may change the result. Empty if it is not known.
   */
  readonly dataPortsOf: (peer: PeerKey) => readonly HostPort[]
}
