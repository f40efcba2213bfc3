import { ErrorCode, type Metrics, WarrenError } from '../../core/index.ts'
import { limitExceeded } from '../limits.ts'
import { type Dialled, OWN_STREAMS } from '../tls/index.ts'

export interface FlowPlacesOptions {
  readonly dialled: Dialled
  readonly machine: string
  readonly nowMs: () => number
  readonly metrics: Metrics
  /** The first flow begins. */
  readonly onBusy: () => void
}

/** The flows of a session, which the other agent limits. */
export class FlowPlaces {
  readonly #options: FlowPlacesOptions
  #taken = 0
  #idleSinceMs: number

  constructor(options: FlowPlacesOptions) {
    this.#options = options
    this.#idleSinceMs = options.nowMs()
  }

  get taken(): number {
    return this.#taken
  }

  /** Time since which there are none, by the monotonic clock; infinite while there are some. */
  get idleSinceMs(): number {
    return this.#taken > 0 ? Number.POSITIVE_INFINITY : this.#idleSinceMs
  }

  /** Takes a place, which `give` gives back. Throws DESTINATION_UNREACHABLE or LIMIT_EXCEEDED. */
  take(): void {
    const { dialled, machine, metrics, onBusy } = this.#options
    const { session, socket } = dialled
    if (session.destroyed || session.closed || socket.destroyed) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, 'the session to its agent has ended')
    }
    // Node would queue the request without a notice.
    const most = session.remoteSettings.maxConcurrentStreams ?? 1
    const limit = Math.max(1, most - OWN_STREAMS)
    if (this.#taken >= limit) {
      throw limitExceeded(metrics, 'proxy_flows_per_session', 'flows of one session', limit, { machine })
    }
    if (this.#taken === 0) onBusy()
    this.#taken += 1
  }

  give(): void {
    this.#taken -= 1
    if (this.#taken === 0) this.#idleSinceMs = this.#options.nowMs()
  }
}
