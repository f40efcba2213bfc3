import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import {
  type Clock,
  ErrorCode,
  type HostPort,
  type Metrics,
  raceAbort,
  type UnprovenPlace,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { AskBounds } from './ask-bounds.ts'
import type { PunchDeps } from './deps.ts'
import { type Ask, ATTEMPT_BYTES, decodeAsk, encodeAnswer, encodeInvitation, proofOf } from './format.ts'
import { OTHER_TIMEOUT_MS, PROOF_TIMEOUT_MS } from './limits.ts'
import { Observed } from './observed.ts'

export interface RendezvousOptions {
  readonly deps: Pick<PunchDeps, 'peer' | 'invite'>
  readonly clock: Clock
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/** Where a host comes from, and the port that it has bound. */
interface Party {
  readonly end: HostPort
  readonly localPort: number
}

interface Waiting {
  readonly requester: PeerKey
  readonly invited: PeerKey
  readonly party: Party
  readonly arrived: (other: Party) => void
}

/**
 * Arranges connections between two other members, each behind a NAT: shows each where the other comes from, both at one moment.
 *
 * A host can have nobody but itself named: its address is that of a connection which it has made to the data port here.
 */
export class Rendezvous {
  /** Of what other members ask for. */
  readonly bounds: AskBounds
  readonly #options: RendezvousOptions
  readonly #observed: Observed
  /** Requesters whose invitation has not been followed yet. */
  readonly #waiting = new Map<string, Waiting>()

  constructor(options: RendezvousOptions) {
    this.#options = options
    this.bounds = new AskBounds(options.clock, options.metrics)
    this.#observed = new Observed(options.stopping)
  }

  /** Takes a connection to the data port that shows where a host comes from; its first byte has not been consumed. */
  accept(socket: Socket, place: UnprovenPlace): void {
    this.#observed.accept(socket, place)
  }

  /**
   * Answers an ask of the agent `peer` once both hosts have asked.
   *
   * Rejects with MESSAGE_MALFORMED, LIMIT_EXCEEDED, NOT_FOUND (no such invitation), DESTINATION_UNREACHABLE or TIMEOUT.
   */
  async asked(peer: PeerKey, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const ask = decodeAsk(request)
    const { deps } = this.#options
    if (ask.peer === peer || ask.peer === deps.peer) {
      throw new WarrenError(ErrorCode.MessageMalformed, 'a connection between two NATs needs two other hosts')
    }
    const release = this.bounds.take(peer)
    try {
      const answer = await this.#answer(peer, ask, signal)
      this.#count('ok')
      return answer
    } catch (err) {
      this.#count('failed')
      throw err
    } finally {
      release()
    }
  }

  async #answer(peer: PeerKey, ask: Ask, signal: AbortSignal): Promise<Uint8Array> {
    const { deps, stopping } = this.#options
    const proof = proofOf(ask.token, peer, deps.peer)
    const parents = [signal, stopping]
    const end = await timed('the connection to its data port', () =>
      within(PROOF_TIMEOUT_MS, parents, limit => this.#observed.endOf(proof, limit))
    )
    const party = { end, localPort: ask.localPort }
    const other =
      ask.attempt === undefined
        ? await timed('the answer of the other host', () =>
            within(OTHER_TIMEOUT_MS, parents, limit => this.#otherOf(peer, ask.peer, party, limit))
          )
        : this.#requesterOf(peer, ask.peer, ask.attempt, party)
    return encodeAnswer({ own: end, other: other.end, otherLocalPort: other.localPort })
  }

  /** Invites the other host, and resolves when it has asked. */
  async #otherOf(requester: PeerKey, invited: PeerKey, party: Party, signal: AbortSignal): Promise<Party> {
    const attempt = randomBytes(ATTEMPT_BYTES).toString('hex')
    const other = Promise.withResolvers<Party>()
    this.#waiting.set(attempt, { requester, invited, party, arrived: other.resolve })
    try {
      await this.#options.deps.invite(invited, encodeInvitation({ requester, attempt }), signal)
      return await raceAbort(other.promise, signal)
    } finally {
      this.#waiting.delete(attempt)
    }
  }

  /** Gives the requester its answer, and returns the party of the requester. */
  #requesterOf(invited: PeerKey, requester: PeerKey, attempt: string, party: Party): Party {
    const waiting = this.#waiting.get(attempt)
    if (waiting?.invited !== invited || waiting.requester !== requester) {
      throw new WarrenError(ErrorCode.NotFound, 'there is no such invitation, or it is over')
    }
    this.#waiting.delete(attempt)
    waiting.arrived(party)
    return waiting.party
  }

  #count(result: 'ok' | 'failed'): void {
    this.#options.metrics.count('warren_punched_connections_total', { role: 'rendezvous', result })
  }
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (err) {
    if (!(err instanceof DOMException && err.name === 'TimeoutError')) throw err
    throw new WarrenError(ErrorCode.Timeout, `${what} did not come in time`)
  }
}
