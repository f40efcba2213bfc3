import type { Socket } from 'node:net'
import { accountOf, type LocalUser } from '../../attest/index.ts'
import { ErrorCode, LruMap, type Metrics, Quota, raceStaggered, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { limitExceeded } from '../limits.ts'
import { connectBoth } from './connect.ts'
import type { PunchDeps } from './deps.ts'
import {
  MAX_PUNCH_HOSTS,
  MAX_PUNCH_WAITING,
  MAX_PUNCH_WAITING_PER_USER,
  MAX_PUNCHES,
  MAX_RENDEZVOUS_TRIED,
  RENDEZVOUS_STAGGER_MS
} from './limits.ts'
import { type Meeting, meet } from './meet.ts'
import { natChanges } from './nat-changes.ts'
import { Turns } from './turns.ts'

export interface PunchRequesterOptions {
  readonly deps: PunchDeps
  /** The user of a registration of this host. @default one share for all */
  readonly userOf?: ((registrationId: string) => LocalUser | undefined) | undefined
  readonly metrics: Metrics
}

/**
 * Makes TCP connections to agents that are behind a NAT, as this host may be: a third member tells both hosts where it sees them,
 * and they connect to each other at the same moment.
 *
 * Nothing about such a connection is believed: who is at its other end must be proved on it.
 */
export class PunchRequester {
  readonly #deps: PunchDeps
  readonly #userOf: NonNullable<PunchRequesterOptions['userOf']>
  readonly #metrics: Metrics
  readonly #places = new Quota<string>(MAX_PUNCH_WAITING_PER_USER, MAX_PUNCH_WAITING)
  readonly #turns = new Turns(MAX_PUNCHES)
  /** The member that arranged the last connection to a host. */
  readonly #worked = new LruMap<PeerKey, PeerKey>(MAX_PUNCH_HOSTS)

  constructor({ deps, userOf = () => undefined, metrics }: PunchRequesterOptions) {
    this.#deps = deps
    this.#userOf = userOf
    this.#metrics = metrics
  }

  /** Whether there is a member that can arrange a connection to the agent `peer`. */
  canReach(peer: PeerKey): boolean {
    return this.#deps.rendezvousFor(peer).length > 0
  }

  /**
   * Resolves with a TCP connection to the agent `peer`, on which nobody has sent anything. `sourceId`: the registration that it is
   * for, undefined for the agent. Rejects with LIMIT_EXCEEDED, DESTINATION_UNREACHABLE or the reason of the signal.
   */
  async connect(peer: PeerKey, sourceId: string | undefined, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted()
    const user = this.#userNameOf(sourceId)
    const release = this.#takePlace(user)
    try {
      const socket = await this.#turns.run(user, signal, () => this.#connect(peer, signal))
      this.#count('ok')
      return socket
    } catch (err) {
      this.#count('failed')
      throw err
    } finally {
      release()
    }
  }

  async #connect(peer: PeerKey, signal: AbortSignal): Promise<Socket> {
    const meeting = await this.#meet(peer, signal)
    try {
      const socket = await connectBoth(meeting.other, meeting.local, signal)
      this.#worked.set(peer, meeting.member)
      return socket
    } catch (err) {
      signal.throwIfAborted()
      const through = `arranged by ${this.#deps.machineOf(meeting.member)}`
      const { local, own, other, otherLocalPort } = meeting
      const whatNatsDo = natChanges(
        { bound: local.localPort, seen: own.port },
        { bound: otherLocalPort, seen: other.port }
      )
      const reason = `${through}: ${WarrenError.from(err).reason}${whatNatsDo}`
      throw new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause: err })
    } finally {
      meeting.close()
    }
  }

  async #meet(peer: PeerKey, signal: AbortSignal): Promise<Meeting> {
    const last = this.#worked.get(peer)
    const members = this.#deps
      .rendezvousFor(peer)
      .map(member => ({ member, order: member === last ? -1 : Math.random() }))
      .sort((one, other) => one.order - other.order)
      .slice(0, MAX_RENDEZVOUS_TRIED)
    if (members.length === 0) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'no third member is connected that could arrange it')
    }
    const attempts = members.map(({ member }) => async (limit: AbortSignal) => {
      try {
        return await meet({ member, peer }, this.#deps, limit)
      } catch (err) {
        limit.throwIfAborted()
        const reason = `${this.#deps.machineOf(member)} cannot arrange it: ${WarrenError.from(err).reason}`
        throw new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause: err })
      }
    })
    return await raceStaggered(attempts, RENDEZVOUS_STAGGER_MS, signal, late => late.close())
  }

  /** Empty for the agent, and where the user is not known. */
  #userNameOf(sourceId: string | undefined): string {
    const user = sourceId === undefined ? undefined : this.#userOf(sourceId)
    return user === undefined ? '' : accountOf(user)
  }

  #takePlace(user: string): () => void {
    const release = this.#places.take(user)
    if (release !== undefined) return release
    const isAll = this.#places.size >= MAX_PUNCH_WAITING
    const limit = isAll ? MAX_PUNCH_WAITING : MAX_PUNCH_WAITING_PER_USER
    const name = isAll ? 'proxy_punch_waiting' : 'proxy_punch_waiting_per_user'
    throw limitExceeded(this.#metrics, name, 'connections between NATs that are asked for', limit)
  }

  #count(result: 'ok' | 'failed'): void {
    this.#metrics.count('warren_punched_connections_total', { role: 'requester', result })
  }
}
