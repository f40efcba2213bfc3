import { type Clock, detach, type Logger, type Metrics, Quota, TokenBuckets, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { begun, type MadeConnection } from '../begun.ts'
import { limitExceeded } from '../limits.ts'
import { FIRST_BYTE_TIMEOUT_MS } from '../timing.ts'
import { connectBoth } from './connect.ts'
import type { PunchDeps } from './deps.ts'
import { decodeInvitation, type Invitation } from './format.ts'
import { MAX_PUNCH_HOSTS, MAX_PUNCH_INVITES, MAX_PUNCH_INVITES_PER_HOST, PUNCH_RATE } from './limits.ts'
import { type Meeting, meet } from './meet.ts'

export interface PunchInvitedOptions {
  readonly deps: PunchDeps
  /** Serves a connection like one that arrived at the data port, and owns its socket. */
  readonly serve: (connection: MadeConnection) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly stopping: AbortSignal
}

/**
 * Connects to agents behind NATs when a third member says that they ask for it.
 *
 * That member is believed as little as a relay. It may name a host of its own choice, at a bounded rate; nothing is sent there
 * before that host has begun, and the member does not learn whether a connection came about.
 */
export class PunchInvited {
  readonly #options: PunchInvitedOptions
  readonly #rates = new TokenBuckets<PeerKey>({ ...PUNCH_RATE, maxKeys: MAX_PUNCH_HOSTS })
  readonly #places = new Quota<PeerKey>(MAX_PUNCH_INVITES_PER_HOST, MAX_PUNCH_INVITES)

  constructor(options: PunchInvitedOptions) {
    this.#options = options
  }

  /** Follows an invitation of the agent `member`, later. Throws MESSAGE_MALFORMED or LIMIT_EXCEEDED. */
  invited(member: PeerKey, request: Uint8Array): void {
    const { clock, log, stopping } = this.#options
    const invitation = decodeInvitation(request)
    if (!this.#rates.take(member, clock.monotonicMs())) {
      throw this.#exceeded('proxy_punch_rate', PUNCH_RATE.perSecond, member)
    }
    const release = this.#places.take(member)
    if (release === undefined) {
      if (this.#places.size >= MAX_PUNCH_INVITES) throw this.#exceeded('proxy_punch_invites', MAX_PUNCH_INVITES, member)
      throw this.#exceeded('proxy_punch_invites_per_host', MAX_PUNCH_INVITES_PER_HOST, member)
    }
    detach(log, 'connection between two NATs', this.#follow(member, invitation, release), stopping)
  }

  async #follow(member: PeerKey, { requester, attempt }: Invitation, release: () => void): Promise<void> {
    const { deps, serve, log, metrics, stopping } = this.#options
    let meeting: Meeting | undefined
    try {
      meeting = await meet({ member, peer: requester, attempt }, deps, stopping)
      const socket = await connectBoth(meeting.other, meeting.local, stopping)
      const firstByte = await within(FIRST_BYTE_TIMEOUT_MS, [stopping], limit => begun(socket, limit))
      metrics.count('warren_punched_connections_total', { role: 'invited', result: 'ok' })
      socket.once('close', release)
      serve({ socket, firstByte, peer: member, place: { heard: () => {}, release, onLoss: () => {} } })
    } catch (err) {
      release()
      metrics.count('warren_punched_connections_total', { role: 'invited', result: 'failed' })
      log.debug('no connection to a host that asked for one', { peer: requester, err })
    } finally {
      meeting?.close()
    }
  }

  #exceeded(
    name: 'proxy_punch_rate' | 'proxy_punch_invites' | 'proxy_punch_invites_per_host',
    limit: number,
    peer: PeerKey
  ): Error {
    return limitExceeded(this.#options.metrics, name, 'connections that this host arranges', limit, { peer })
  }
}
