import type { Duplex } from 'node:stream'
import { ErrorCode, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { RELAY_JOIN_TIMEOUT_MS } from '../limits.ts'
import { RELAY, RELAYED, type StreamProtocol } from '../protocols.ts'
import type { RelayedStream } from '../types.ts'
import { RelayFinder } from './relay-finder.ts'
import { readKey } from './relay-hello.ts'
import { RelayServer, type RelayServerDeps } from './relay-server.ts'

export interface RelayServiceDeps extends Omit<RelayServerDeps, 'open'> {
  readonly connected: () => readonly PeerKey[]
  readonly open: (peer: PeerKey, protocol: StreamProtocol, signal: AbortSignal) => Promise<Duplex>
  /** Takes a stream that `relay`, whose machine is `via`, has joined to us. Throws if there is no handler. */
  readonly accept: (stream: Duplex, relay: PeerKey, via: string) => void
}

/** The three roles of a host in relaying: it asks for a relay, is one, and is reached through one. */
export class RelayService {
  readonly #deps: RelayServiceDeps
  readonly #server: RelayServer
  readonly #finder: RelayFinder

  constructor(deps: RelayServiceDeps) {
    this.#deps = deps
    const { connected, machineOf } = deps
    const over = (protocol: StreamProtocol) => async (peer: PeerKey, signal: AbortSignal) =>
      await deps.open(peer, protocol, signal)
    this.#server = new RelayServer({ ...deps, open: over(RELAYED) })
    this.#finder = new RelayFinder({ connected, machineOf, open: over(RELAY) })
  }

  /** Streams between two other members that this host joins. */
  get size(): number {
    return this.#server.size
  }

  /** Opens a stream to `peer` through another member. Rejects like `RelayFinder.open`. */
  async open(peer: PeerKey, signal: AbortSignal): Promise<RelayedStream> {
    return await this.#finder.open(peer, signal)
  }

  /** Joins a stream of a member to the one that it wants to reach. Never rejects. */
  async serve(stream: Duplex, from: PeerKey): Promise<void> {
    await this.#server.serve(stream, from)
  }

  /** Takes a stream that a relay opened to us for another member. Never rejects. */
  async accept(stream: Duplex, relay: PeerKey): Promise<void> {
    const { accept, log, machineOf, stopping } = this.#deps
    stream.on('error', () => {})
    try {
      const opener = await within(RELAY_JOIN_TIMEOUT_MS, [stopping], limit => readKey(stream, limit))
      const via = machineOf(relay)
      if (via === undefined) throw new WarrenError(ErrorCode.NotReady, 'the relay is no longer connected')
      log.debug('relayed stream', { peer: opener, machine: via })
      accept(stream, relay, via)
    } catch (err) {
      log.debug('relayed stream dropped', { peer: relay, err })
      stream.destroy()
    }
  }
}
