import type { PeerKey } from '../../identity/index.ts'

interface Bucket {
  tokens: number
  atMs: number
}

/** Members have thousands of peers at most; beyond, the one that asked longest ago starts anew. */
const MAX_PEERS = 8_192

/** How often each peer may ask for something: `perSecond` in the long run, `burst` at once. */
export class PeerAllowance {
  readonly #perSecond: number
  readonly #burst: number
  readonly #nowMs: () => number
  readonly #buckets = new Map<PeerKey, Bucket>()

  constructor(perSecond: number, burst: number, nowMs: () => number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#nowMs = nowMs
  }

  /** Whether `peer` may now; if so, it is counted. */
  take(peer: PeerKey): boolean {
    const nowMs = this.#nowMs()
    const before = this.#buckets.get(peer) ?? { tokens: this.#burst, atMs: nowMs }
    const tokens = Math.min(this.#burst, before.tokens + ((nowMs - before.atMs) / 1_000) * this.#perSecond)
    this.#buckets.delete(peer)
    this.#buckets.set(peer, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs })
    if (this.#buckets.size > MAX_PEERS) {
      const [oldest] = this.#buckets.keys()
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    return tokens >= 1
  }
}
