import type { Duplex } from 'node:stream'
import { ErrorCode, LruMap, raceStaggered, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_KNOWN_PEERS, MAX_RELAYS_TRIED, RELAY_STAGGER_MS } from '../limits.ts'
import type { RelayedStream } from '../types.ts'
import { readAnswer, writeKey } from './relay-hello.ts'

export interface RelayFinderDeps {
  readonly connected: () => readonly PeerKey[]
  readonly machineOf: (peer: PeerKey) => string | undefined
  /** Opens a stream on which `peer` is asked to relay. */
  readonly open: (peer: PeerKey, signal: AbortSignal) => Promise<Duplex>
}

/** Finds a member that reaches a host we do not: first the last successful one, then some connected ones, at random. */
export class RelayFinder {
  readonly #deps: RelayFinderDeps
  readonly #worked = new LruMap<PeerKey, PeerKey>(MAX_KNOWN_PEERS)

  constructor(deps: RelayFinderDeps) {
    this.#deps = deps
  }

  /** Throws DESTINATION_UNREACHABLE when none of the relays joins us with `peer`, or the signal's reason. */
  async open(peer: PeerKey, signal: AbortSignal): Promise<RelayedStream> {
    const last = this.#worked.get(peer)
    const others = this.#deps
      .connected()
      .filter(middle => middle !== peer)
      .map(middle => ({ middle, order: middle === last ? -1 : Math.random() }))
      .sort((a, b) => a.order - b.order)
      .slice(0, MAX_RELAYS_TRIED)
    if (others.length === 0) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'no other member is connected that could relay')
    }
    const attempts = others.map(({ middle }) => async (limit: AbortSignal) => {
      const machine = this.#deps.machineOf(middle) ?? middle
      const stream = await this.#deps.open(middle, limit)
      stream.on('error', () => {})
      try {
        writeKey(stream, peer)
        await readAnswer(stream, machine, limit)
        return { middle, found: { stream, via: machine } }
      } catch (err) {
        stream.destroy()
        throw err
      }
    })
    const { middle, found } = await raceStaggered(attempts, RELAY_STAGGER_MS, signal, late =>
      late.found.stream.destroy()
    )
    this.#worked.set(peer, middle)
    return found
  }
}
