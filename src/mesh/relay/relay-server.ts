import type { Duplex } from 'node:stream'
import {
  type Clock,
  type LimitName,
  type Logger,
  type Metrics,
  spliceStreams,
  TokenBuckets,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { MAX_CONNECTIONS, MAX_RELAYED, MAX_RELAYED_PER_PEER, RELAY_JOIN_TIMEOUT_MS, RELAY_RATE } from '../limits.ts'
import { RelayAnswer, readKey, writeKey } from './relay-hello.ts'

export interface RelayServerDeps {
  readonly self: PeerKey
  /** A stream for relayed bytes to a peer. Rejects when we do not reach it ourselves. */
  readonly open: (peer: PeerKey, signal: AbortSignal) => Promise<Duplex>
  readonly machineOf: (peer: PeerKey) => string | undefined
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  readonly stopping: AbortSignal
}

/**
 * Joins two members that do not reach each other, byte for byte. Their traffic is TLS between their workloads, so the
 * relay cannot read it.
 *
 * Both ends are admitted members, with their own connections to us. At most 64 joined streams were requested by one
 * member (so that none can use up the share of the others), at most 256 by all.
 */
export class RelayServer {
  readonly #deps: RelayServerDeps
  readonly #rates = new TokenBuckets<PeerKey>({ ...RELAY_RATE, maxKeys: MAX_CONNECTIONS })
  // Holds only peers with a stream that is joined or being joined, so MAX_RELAYED limits its size.
  readonly #perPeer = new Map<PeerKey, number>()
  #total = 0

  constructor(deps: RelayServerDeps) {
    this.#deps = deps
  }

  /** The number of streams that are joined here, or are being joined. */
  get size(): number {
    return this.#total
  }

  /** Serves one stream of a member to its end. Never rejects. */
  async serve(near: Duplex, from: PeerKey): Promise<void> {
    near.on('error', () => {})
    const { log, machineOf, metrics, stopping } = this.#deps
    let release: (() => void) | undefined
    let far: Duplex | undefined
    try {
      const to = await within(RELAY_JOIN_TIMEOUT_MS, [stopping], async signal => {
        const wanted = await readKey(near, signal)
        release = this.#enter(near, from, wanted)
        if (release === undefined) return undefined
        far = await this.#deps.open(wanted, signal)
        far.on('error', () => {})
        return wanted
      })
      if (to === undefined || far === undefined) {
        metrics.count('warren_mesh_relays_total', { result: 'refused' })
        return
      }
      writeKey(far, from)
      near.write(Uint8Array.of(RelayAnswer.Joined))
      const ends = { source: machineOf(from) ?? from, destination: machineOf(to) ?? to }
      metrics.count('warren_mesh_relays_total', { result: 'joined' })
      log.info('relaying between two members', { ...ends, count: this.#total })
      const cut = (): void => {
        near.destroy()
      }
      stopping.addEventListener('abort', cut, { once: true })
      const bytes = await spliceStreams(near, far)
      stopping.removeEventListener('abort', cut)
      metrics.count('warren_mesh_relayed_bytes_total', {}, bytes.forth + bytes.back)
      log.info('relaying ended', { ...ends, bytesOut: bytes.forth, bytesIn: bytes.back })
    } catch (err) {
      log.debug('relaying failed', { peer: from, err: WarrenError.from(err) })
      metrics.count('warren_mesh_relays_total', { result: 'no_path' })
      far?.destroy()
      this.#answer(near, RelayAnswer.NoPath)
    } finally {
      release?.()
    }
  }

  #enter(near: Duplex, from: PeerKey, to: PeerKey): (() => void) | undefined {
    const { self, machineOf, metrics } = this.#deps
    if (to === from || to === self) {
      this.#answer(near, RelayAnswer.Refused)
      return undefined
    }
    const reached = this.#limitReached(from)
    if (reached !== undefined) {
      metrics.hit(reached, { machine: machineOf(from) ?? '' })
      this.#answer(near, RelayAnswer.Limit)
      return undefined
    }
    this.#perPeer.set(from, this.#of(from) + 1)
    this.#total += 1
    return () => {
      this.#total -= 1
      const left = this.#of(from) - 1
      if (left > 0) this.#perPeer.set(from, left)
      else this.#perPeer.delete(from)
    }
  }

  #limitReached(from: PeerKey): LimitName | undefined {
    if (!this.#rates.take(from, this.#deps.clock.monotonicMs())) return 'mesh_relay_rate'
    if (this.#total >= MAX_RELAYED) return 'mesh_relayed'
    return this.#of(from) >= MAX_RELAYED_PER_PEER ? 'mesh_relayed_per_peer' : undefined
  }

  #of(peer: PeerKey): number {
    return this.#perPeer.get(peer) ?? 0
  }

  // A peer that does not close its side after our answer must not keep the stream.
  #answer(near: Duplex, answer: RelayAnswer): void {
    if (near.destroyed) return
    near.end(Uint8Array.of(answer))
    near.resume()
    const timer = setTimeout(() => near.destroy(), RELAY_JOIN_TIMEOUT_MS)
    near.once('close', () => clearTimeout(timer))
  }
}
