import { detach, type Logger } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Carried, Carrier } from '../carriers/index.ts'
import type { ClientSession } from './client-session.ts'
import type { KnownCarriers } from './known-carriers.ts'

/** Sessions whose flows look for another path at once; others wait until theirs are given up. */
const MAX_MOVING = 32

export interface SilentPathsOptions {
  readonly carriers: KnownCarriers
  /** Opens a session by this carrier for what `session` is for. */
  readonly open: (carrier: Carrier, session: ClientSession) => Promise<ClientSession>
  /** Called when the flows of a session have left a silent path to the agent `peer`. */
  readonly onLeft: (peer: PeerKey) => void
  readonly log: Logger
  readonly stopping: AbortSignal
}

/**
 * Leads flows away from sessions whose path is silent, before these are given up: where the agent has another address, or this host
 * has one, a session is opened there. Once that stands and the former one is still silent, that one is ended, and its flows resume.
 *
 * Without another path nothing is opened: the other agent may only be busy.
 */
export class SilentPaths {
  readonly #options: SilentPathsOptions
  #moving = 0

  constructor(options: SilentPathsOptions) {
    this.#options = options
  }

  onSilent(carrier: Carrier, made: Carried, session: ClientSession): void {
    const { carriers, log, stopping } = this.#options
    const { destination, path } = session
    const { machine } = destination
    log.debug('session does not answer', { machine, carrier: path.name })
    // Not the carrier but one of its paths has failed.
    if (carrier.avoid?.(destination, made) !== true) carriers.failed(carrier, machine)
    else if (made.versions.resume !== undefined && this.#moving < MAX_MOVING) {
      detach(log, 'session on another path', this.#move(carrier, session), stopping)
    }
  }

  async #move(carrier: Carrier, session: ClientSession): Promise<void> {
    const { open, onLeft, log } = this.#options
    const { machine, peer } = session.destination
    this.#moving += 1
    try {
      const other = await open(carrier, session)
      if (other === session || session.isSound || !session.isUsable || session.isCarriedBeside) return
      log.info('flows leave a silent path', { machine, carrier: other.path.name, count: session.flowCount })
      session.destroy()
      onLeft(peer)
    } catch (err) {
      log.debug('no other path for a silent session', { machine, err })
    } finally {
      this.#moving -= 1
    }
  }
}
