import { randomInt } from 'node:crypto'
import { type Clock, DIAL_STAGGER_MS, detach, type Logger, raceAbort, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import {
  ADDRESS_DIAL_TIMEOUT_MS,
  BACKOFF_MIN_MS,
  FEW_CONNECTIONS,
  FULL_MESH_MEMBERS,
  LAGGING_MS,
  MAX_ADDRESS_DIAL_TIMEOUT_MS,
  MAX_PARALLEL_DIALS,
  REDIAL_REST_MS,
  REDIAL_TICK_MS
} from '../limits.ts'
import { type AddressSource, AddressStore, type DialTarget, headStartMs } from './address-store.ts'
import { parsePeerAddress } from './addresses.ts'
import { backoffMs } from './backoff.ts'
import type { Reached } from './dial.ts'
import { Lag } from './lag.ts'
import { neighboursOf, type RingMember } from './rings.ts'
import { Rounds } from './rounds.ts'

export interface RedialerDeps {
  readonly self: PeerKey
  /** Connects by TCP to the first address that accepts; `failed` receives each that does not. */
  readonly reach: (
    addresses: readonly string[],
    failed: (address: string) => void,
    signal: AbortSignal
  ) => Promise<Reached>
  /** Resolves to the host that was reached. If `peer` is given, it must be that host. */
  readonly dial: (reached: Reached, peer: PeerKey | undefined, signal: AbortSignal) => Promise<PeerKey>
  readonly connected: () => readonly PeerKey[]
  readonly isConnected: (peer: PeerKey) => boolean
  /** @default FULL_MESH_MEMBERS */
  readonly fullMeshMembers?: number | undefined
  readonly onFailed?: ((addresses: readonly string[], err: unknown) => void) | undefined
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Keeps us connected: to all members and seeds up to 64, else to our neighbours on the rings, of which there are O(log N).
 *
 * It never gives up on a seed or a member; it only waits longer, up to 10 s. A host from local discovery is only a
 * hint. libp2p itself does not redial a host for long.
 */
export class Redialer {
  readonly #deps: RedialerDeps
  readonly #store: AddressStore
  readonly #attempts = new Map<string, Promise<boolean>>()
  readonly #lag = new Lag(REDIAL_TICK_MS)
  /** Decides on one of the neighbours, so that nobody else can place itself there. */
  readonly #salt = randomInt(2 ** 32)
  /** The hosts to keep connections to; undefined: all. */
  #neighbourSet: ReadonlySet<PeerKey> | undefined
  readonly #rounds: Rounds

  constructor(deps: RedialerDeps) {
    this.#deps = deps
    this.#store = new AddressStore(deps.self)
    const { log, signal } = deps
    this.#rounds = new Rounds({ round: () => this.#round(), tickMs: REDIAL_TICK_MS, log, signal })
  }

  start(): void {
    this.#rounds.start()
  }

  /** Adds possible addresses of hosts, the best first for each. Text that is not a mesh address is logged and left out. */
  hint(multiaddrs: readonly string[], source: AddressSource): void {
    this.#rounds.wake()
    // The latest address is tried first; when there are too many, the earliest are dropped.
    for (const text of multiaddrs.toReversed()) {
      try {
        this.#store.add(parsePeerAddress(text), source, this.#deps.clock.monotonicMs())
      } catch (err) {
        this.#deps.log.debug('address left out', { state: source, err })
      }
    }
  }

  forget(peer: PeerKey): void {
    this.#rounds.wake()
    this.#store.forget(peer)
  }

  /** Tries again soon all hosts that could not be reached: this host has another network now. */
  hurry(): void {
    this.#rounds.wake()
    this.#store.hurry(this.#deps.clock.monotonicMs())
  }

  onConnect(peer: PeerKey): void {
    this.#rounds.wake()
    const target = this.#store.find(peer)
    if (target !== undefined) this.#store.succeeded(target, undefined, this.#deps.clock.monotonicMs())
  }

  onDisconnect(peer: PeerKey): void {
    this.#rounds.wake()
    const target = this.#store.find(peer)
    if (target === undefined) return
    const headStart = headStartMs(this.#deps.self, peer)
    target.notBeforeMs = this.#deps.clock.monotonicMs() + headStart + Math.random() * BACKOFF_MIN_MS
  }

  /**
   * Connects to a peer on demand, without waiting for its turn. Resolves to whether it is connected; rejects with the signal's
   * reason.
   */
  async ensure(peer: PeerKey, signal: AbortSignal): Promise<boolean> {
    if (this.#deps.isConnected(peer)) return true
    const target = this.#store.find(peer)
    return target === undefined ? false : await raceAbort(this.#attempt(target), signal)
  }

  /** Returns how long no dial is due, in milliseconds. */
  #round(): number {
    const { connected, isConnected, clock, log, signal } = this.#deps
    const now = clock.monotonicMs()
    this.#lag.tick(now)
    // On a machine that lacks processor time, more handshakes at once only make all of them too late.
    const parallel = this.#lag.ms > LAGGING_MS ? MAX_PARALLEL_DIALS / 4 : MAX_PARALLEL_DIALS
    const targets = this.#store.targets()
    this.#neighbourSet = this.#neighbours(targets)
    const isAlone = connected().length < FEW_CONNECTIONS
    const wanted = targets.filter(target => this.#isWanted(target, isAlone))
    const due = wanted.filter(target => {
      const peer = target.peer ?? target.resolved
      if (peer === this.#deps.self || (peer !== undefined && isConnected(peer))) return false
      return target.notBeforeMs <= now && !this.#attempts.has(target.key)
    })
    for (const target of due) {
      if (this.#attempts.size >= parallel) return 0
      detach(log, 'dial', this.#attempt(target), signal)
    }
    if (this.#attempts.size > 0) return 0
    const later = wanted.map(({ notBeforeMs }) => notBeforeMs).filter(notBeforeMs => notBeforeMs > now)
    const restMs = Math.min(REDIAL_REST_MS, ...later.map(notBeforeMs => notBeforeMs - now))
    // A rest says nothing about how late this process runs.
    if (restMs > REDIAL_TICK_MS) this.#lag.rest()
    return restMs
  }

  /** Whether a connection to this host is kept without a use. */
  isNeighbour(peer: PeerKey): boolean {
    return this.#neighbourSet?.has(peer) ?? true
  }

  #neighbours(targets: readonly DialTarget[]): ReadonlySet<PeerKey> | undefined {
    const { self, isConnected, fullMeshMembers = FULL_MESH_MEMBERS } = this.#deps
    if (this.#store.members() < fullMeshMembers) return undefined
    const members = targets.flatMap(({ peer, positions, source, failures }): RingMember[] =>
      peer === undefined || source === 'hint'
        ? []
        : [{ peer, positions, isReachable: failures === 0 || isConnected(peer) }]
    )
    return neighboursOf(self, members, this.#salt, fullMeshMembers)
  }

  // A seed leads to the mesh. Once it did, it is a member like others: else it would hold a connection to every host.
  #isWanted({ peer, source, failures, lastConnectedMs }: DialTarget, isAlone: boolean): boolean {
    if (this.#neighbourSet === undefined) return true
    if (peer !== undefined && this.#neighbourSet.has(peer)) return true
    if (isAlone && source !== 'member') return true
    return source === 'seed' && (failures > 0 || lastConnectedMs === Number.NEGATIVE_INFINITY)
  }

  #attempt(target: DialTarget): Promise<boolean> {
    const running = this.#attempts.get(target.key)
    if (running !== undefined) return running
    const attempt = this.#dialAll(target).finally(() => {
      this.#attempts.delete(target.key)
      this.#rounds.wake()
    })
    this.#attempts.set(target.key, attempt)
    return attempt
  }

  async #dialAll(target: DialTarget): Promise<boolean> {
    const { reach, dial, isConnected, clock, log, signal } = this.#deps
    let reason: unknown
    let left: readonly string[] = target.addresses
    const drop = (address: string): void => {
      left = left.filter(other => other !== address)
    }
    while (left.length > 0 && !signal.aborted) {
      let isReached = false
      try {
        const staggersMs = (left.length - 1) * DIAL_STAGGER_MS
        const reached = await this.#inTime(limit => reach(left, drop, limit), staggersMs)
        isReached = true
        drop(reached.address)
        const found = await this.#inTime(limit => raceAbort(dial(reached, target.peer, limit), limit))
        target.resolved = found
        this.#store.succeeded(target, reached.address, clock.monotonicMs())
        return true
      } catch (err) {
        reason = err
        // The other side may have been faster; then our dial is refused as the second one.
        if (target.peer !== undefined && isConnected(target.peer)) return true
        // Nobody accepts at those that are left.
        if (!isReached) break
      }
    }
    if (signal.aborted) return false
    this.#deps.onFailed?.(target.addresses, reason)
    this.#store.failed(target, clock.monotonicMs() + backoffMs(target.failures, Math.random()))
    const fields = { peer: target.peer ?? '', addresses: target.addresses, count: target.failures, err: reason }
    if (target.source === 'seed' && target.failures === 3) log.warn('seed cannot be reached', fields)
    else log.debug('dial failed', fields)
    return false
  }

  // The time that our own lag takes is added to the deadline.
  async #inTime<T>(step: (limit: AbortSignal) => Promise<T>, moreMs = 0): Promise<T> {
    const timeoutMs = Math.min(ADDRESS_DIAL_TIMEOUT_MS + 10 * this.#lag.ms, MAX_ADDRESS_DIAL_TIMEOUT_MS)
    return await within(timeoutMs + moreMs, [this.#deps.signal], step)
  }
}
