import type { Duplex } from 'node:stream'
import { type Metrics, silentMetrics } from '../core/index.ts'
import type { ProxyLimits } from './limits.ts'
import { HANDSHAKE_TIMEOUT_MS } from './timing.ts'

/** Bounds how many connections may be in their TLS handshake, in all and from one remote. */
export class HandshakeLimiter {
  readonly #transports = new Map<Duplex, NodeJS.Timeout>()
  readonly #perRemote = new Map<string, number>()
  readonly #limits: ProxyLimits
  readonly #metrics: Metrics

  constructor(limits: ProxyLimits, metrics: Metrics = silentMetrics) {
    this.#limits = limits
    this.#metrics = metrics
  }

  /**
   * Counts `transport` until its handshake has ended: when it closes, when `release` is called, or after the time limit
   * for handshakes. Returns false when there is no room for it.
   */
  enter(transport: Duplex, remote: string): { readonly release: () => void } | undefined {
    const same = this.#perRemote.get(remote) ?? 0
    const { pendingHandshakes, pendingHandshakesPerHost } = this.#limits
    if (this.#transports.size >= pendingHandshakes) {
      this.#metrics.hit('proxy_pending_handshakes', { remote, limit: pendingHandshakes })
      return undefined
    }
    if (same >= pendingHandshakesPerHost) {
      this.#metrics.hit('proxy_pending_handshakes_per_host', { remote, limit: pendingHandshakesPerHost })
      return undefined
    }
    this.#perRemote.set(remote, same + 1)
    const release = (): void => {
      clearTimeout(this.#transports.get(transport))
      if (!this.#transports.delete(transport)) return
      const count = (this.#perRemote.get(remote) ?? 1) - 1
      if (count > 0) this.#perRemote.set(remote, count)
      else this.#perRemote.delete(remote)
    }
    this.#transports.set(transport, setTimeout(release, HANDSHAKE_TIMEOUT_MS))
    transport.once('close', release)
    return { release }
  }

  stop(): void {
    for (const [transport, timer] of this.#transports) {
      clearTimeout(timer)
      transport.destroy()
    }
  }
}
