import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { connectTcp, ErrorCode, LruMap, raceStaggered, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Relay, RelayClient } from '../carriers/index.ts'
import { GoodEnds, type ReverseDeps, TOKEN_BYTES, TokenBatches } from '../reverse/index.ts'
import { RELAY_ASK_TIMEOUT_MS, STAGGER_MS } from '../timing.ts'
import type { RelayDeps } from './deps.ts'
import { encodePreamble, encodeRequest, proofOf } from './format.ts'
import { MAX_RELAYS_TRIED } from './limits.ts'

export interface RelayClientOptions {
  readonly deps: Pick<RelayDeps, 'relaysTo' | 'machineOf' | 'askRelay'>
  readonly reverse: Pick<ReverseDeps, 'peer' | 'dataPortsOf'>
  /** Takes a place of those that wait for other agents, for the user of a registration. Throws LIMIT_EXCEEDED. */
  readonly takePlace: (sourceId: string | undefined) => () => void
  readonly stopping: AbortSignal
}

/** A relay, and the agent beyond it. */
type Way = `${PeerKey} ${PeerKey}`

/** Peers for which the relay that worked last is remembered. */
const MAX_REMEMBERED = 2_048

/** Asks other members to join a connection of this host with one of an agent that it does not reach, and dials them. */
export class JoinedConnections implements RelayClient {
  readonly #options: RelayClientOptions
  /** Tokens for one relay and one agent that come while a request is under way leave together. */
  readonly #batches: TokenBatches<Way>
  readonly #good = new GoodEnds()
  readonly #worked = new LruMap<PeerKey, PeerKey>(MAX_REMEMBERED)

  constructor(options: RelayClientOptions) {
    this.#options = options
    const { deps, stopping } = options
    this.#batches = new TokenBatches((way, tokens) => {
      const [relay, wanted] = way.split(' ') as [PeerKey, PeerKey]
      return within(RELAY_ASK_TIMEOUT_MS, [stopping], limit =>
        deps.askRelay(relay, encodeRequest(wanted, tokens), limit)
      )
    })
  }

  /** Those to try for an agent: first the one that worked last. */
  relaysTo(wanted: PeerKey): Relay[] {
    const { deps } = this.#options
    const last = this.#worked.get(wanted)
    return [...deps.relaysTo(wanted)]
      .sort((one, other) => Number(other === last) - Number(one === last))
      .slice(0, MAX_RELAYS_TRIED)
      .map(peer => ({ peer, machine: deps.machineOf(peer) }))
  }

  worked(wanted: PeerKey, { peer }: Relay): void {
    this.#worked.set(wanted, peer)
  }

  /**
   * Resolves with a TCP connection to the relay, which joins it with one that the agent `wanted` makes, and closes it if that does
   * not come. Proves nothing of who is at its other end. Rejects with a refusal or the reason of the signal.
   */
  async connect(relay: PeerKey, wanted: PeerKey, sourceId: string | undefined, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted()
    const { reverse, takePlace } = this.#options
    const release = takePlace(sourceId)
    try {
      const token = randomBytes(TOKEN_BYTES)
      await this.#batches.ask(`${relay} ${wanted}`, token)
      const ends = this.#good.ordered(relay, reverse.dataPortsOf(relay))
      if (ends.length === 0)
        throw new WarrenError(ErrorCode.DestinationUnreachable, 'the ports of the relay are not known')
      const how = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 }
      const attempts = ends.map(end => async (limit: AbortSignal) => {
        const made = await connectTcp({ ...end, ...how }, limit)
        this.#good.reached(relay, end)
        return made
      })
      const socket = await raceStaggered(attempts, STAGGER_MS, signal, late => late.destroy())
      socket.on('error', () => {})
      socket.write(encodePreamble(proofOf({ token, relay, dialler: reverse.peer })))
      return socket
    } finally {
      release()
    }
  }
}
