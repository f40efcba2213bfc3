import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Metrics, networkOf, Quota, silentMetrics, type UnprovenPlace, UnprovenQuota } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { ProxyLimits } from './limits.ts'
import { FIRST_BYTE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS } from './timing.ts'

/** Streams of all admitted hosts in their handshake: so many that no few hosts can take the places of the others. */
const MAX_MEMBER_HANDSHAKES = 4_096

/**
 * Bounds how many connections may be in their handshake. Connections of unknown peers have places of their own, so that these
 * never keep out a stream that an admitted host opened over the mesh.
 */
export class HandshakeLimiter {
  readonly #strangers: UnprovenQuota
  readonly #members: Quota<PeerKey>
  readonly #streams = new Set<Duplex>()
  readonly #limits: ProxyLimits
  readonly #metrics: Metrics

  constructor(limits: ProxyLimits, metrics: Metrics = silentMetrics) {
    this.#limits = limits
    this.#metrics = metrics
    const { pendingHandshakes: total, pendingHandshakesPerHost: perNetwork } = limits
    this.#strangers = new UnprovenQuota({ total, perNetwork, silentMs: FIRST_BYTE_TIMEOUT_MS }, (bound, remote) => {
      if (bound === 'total') metrics.hit('proxy_pending_handshakes', { remote, limit: total })
      else metrics.hit('proxy_pending_handshakes_per_host', { remote, limit: perNetwork })
    })
    this.#members = new Quota(perNetwork, MAX_MEMBER_HANDSHAKES)
  }

  /** Counts a TCP connection until it has proved an identity or is closed. It is destroyed if it loses its place. */
  enter(socket: Socket): UnprovenPlace {
    const place = this.#strangers.enter(networkOf(socket.remoteAddress ?? ''), () => socket.destroy())
    socket.once('close', place.release)
    return place
  }

  /**
   * Counts a stream of an admitted host until its handshake has ended, by success or by its time limit. Returns false if
   * this host has no room.
   */
  enterMember(stream: Duplex, peer: PeerKey): boolean {
    const release = this.#members.take(peer)
    if (release === undefined) {
      const limit = this.#limits.pendingHandshakesPerHost
      this.#metrics.hit('proxy_pending_handshakes_per_host', { remote: peer, limit })
      return false
    }
    this.#streams.add(stream)
    const end = (): void => {
      clearTimeout(timer)
      this.#streams.delete(stream)
      release()
    }
    const timer = setTimeout(end, HANDSHAKE_TIMEOUT_MS)
    stream.once('close', end)
    return true
  }

  stop(): void {
    this.#strangers.stop()
    for (const stream of this.#streams) stream.destroy()
  }
}
