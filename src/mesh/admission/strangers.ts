import type { Socket } from 'node:net'
import type { MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { type Metrics, networkOf, type UnprovenPlace, UnprovenQuota } from '../../core/index.ts'
import { FIRST_BYTES_TIMEOUT_MS, MAX_PENDING_CONNECTIONS, MAX_PENDING_CONNECTIONS_PER_HOST } from '../limits.ts'

/** Bounds the inbound connections that are not admitted yet. Set `gater` as the connection gater of libp2p. */
export class Strangers {
  readonly #quota: UnprovenQuota
  readonly #places = new WeakMap<MessageStream, UnprovenPlace>()

  constructor(metrics: Metrics) {
    const bounds = {
      total: MAX_PENDING_CONNECTIONS,
      perNetwork: MAX_PENDING_CONNECTIONS_PER_HOST,
      silentMs: FIRST_BYTES_TIMEOUT_MS
    }
    this.#quota = new UnprovenQuota(bounds, (bound, remote) => {
      if (bound === 'total') metrics.hit('mesh_pending_connections', { remote, limit: bounds.total })
      else metrics.hit('mesh_pending_connections_per_host', { remote, limit: bounds.perNetwork })
    })
  }

  /** Gives each inbound connection a place, and refuses none: it is aborted when it loses the place. */
  readonly gater = {
    denyInboundConnection: (raw: MultiaddrConnection): boolean => {
      const remote = raw.remoteAddr.getComponents()[0]?.value ?? ''
      const place = this.#quota.enter(networkOf(remote), () => raw.abort(new Error('too many are not admitted yet')))
      this.#places.set(raw, place)
      raw.addEventListener('close', place.release, { once: true })
      if (raw.status !== 'open') place.release()
      return false
    }
  }

  /** A place for a connection whose first byte has not arrived. It is destroyed when it loses the place. */
  enter(socket: Socket): UnprovenPlace {
    const place = this.#quota.enter(networkOf(socket.remoteAddress ?? ''), () => socket.destroy())
    socket.once('close', place.release)
    return place
  }

  /** The other side has chosen the protocol of the admission. Its first bytes are no event: a listener would take them. */
  heard(raw: MessageStream): void {
    this.#places.get(raw)?.heard()
  }

  admitted(raw: MessageStream): void {
    this.#places.get(raw)?.release()
  }
}
