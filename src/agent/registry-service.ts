import { type Clock, detach, type Logger, loop, within } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import {
  answer,
  type Effect,
  type Event,
  type LocalRecord,
  type Mark,
  type Profile,
  type RegistryState,
  replication,
  SyncSession,
  step,
  type Verdict
} from '../registry/index.ts'
import { AckQueue } from './ack-queue.ts'
import { ChangeSignal } from './change-signal.ts'
import { awaitReplication, type Replication, type WaitMode } from './replication.ts'

/** The slice of the mesh that spreads the registry. */
export interface RegistryTransport {
  readonly publish: (bytes: Uint8Array) => Promise<number>
  readonly sync: (peer: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly ack: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<void>
  readonly connected: () => readonly PeerKey[]
}

export interface RegistryServiceDeps {
  readonly state: RegistryState
  readonly transport: RegistryTransport
  /** Must be durable when it returns. */
  readonly saveMarks: (marks: readonly Mark[]) => void
  readonly forgetMark: (owner: PeerKey) => void
  /** Called after an owner's records, head or standing changed. */
  readonly onChange: (change: Extract<Effect, { type: 'changed' }>) => void
  readonly clock: Clock
  readonly log: Logger
}

const TICK_MS = 1_000
const SYNC_INTERVAL_MS = 1_500
/** A whole session with one peer; a large set takes several exchanges. */
const SYNC_TIMEOUT_MS = 30_000

/** Runs the pure registry: feeds it with what happens, and does what it asks for. */
export class RegistryService {
  readonly #deps: RegistryServiceDeps
  readonly #stopping = new AbortController()
  readonly #changed = new ChangeSignal()
  readonly #acknowledged = new ChangeSignal()
  readonly #synchronised = new ChangeSignal()
  readonly #sessions = new Map<PeerKey, Promise<void>>()
  readonly #acks: AckQueue
  #published = 0n

  constructor(deps: RegistryServiceDeps) {
    this.#deps = deps
    this.#acks = new AckQueue(deps.transport.ack, this.#stopping.signal, deps.log)
  }

  get state(): RegistryState {
    return this.#deps.state
  }

  /** Starts the periodic work. The first head is published by the first call of `announce`. */
  start(): void {
    const { log } = this.#deps
    const { signal } = this.#stopping
    const tick = loop(log, 'registry tick', { intervalMs: () => TICK_MS, signal }, () => {
      this.#dispatch({ type: 'tick' })
    })
    const sync = loop(log, 'registry sync', { intervalMs: () => SYNC_INTERVAL_MS, jitter: 0.6, signal }, async () => {
      const peers = this.#deps.transport.connected()
      const peer = peers[Math.floor(Math.random() * peers.length)]
      if (peer !== undefined) await this.syncWith(peer).catch(err => log.debug('registry sync failed', { peer, err }))
    })
    detach(log, 'registry tick', tick, signal)
    detach(log, 'registry sync', sync, signal)
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** Resolves at the next change of any owner. */
  changed(): Promise<void> {
    return this.#changed.changed()
  }

  /** Resolves once the next session with any peer has ended well. */
  synchronised(): Promise<void> {
    return this.#synchronised.changed()
  }

  announce(profile: Profile): void {
    this.#dispatch({ type: 'local-head', profile })
  }

  put(record: LocalRecord): void {
    this.#dispatch({ type: 'local-change', puts: [record], deletes: [] })
  }

  delete(registrationId: string): void {
    this.#dispatch({ type: 'local-change', puts: [], deletes: [registrationId] })
  }

  /** Judges every owner anew, and drops those that no longer pass. */
  judgeOwners(): void {
    this.#dispatch({ type: 'trust-changed' })
  }

  /** Waits for the acknowledgements of all that was published so far. */
  async replicated(wait: WaitMode, signal: AbortSignal): Promise<Replication> {
    const seq = this.#published
    const progress = () => replication(this.state, seq) ?? { required: 0, missing: [] }
    return await awaitReplication(wait, progress, () => this.#acknowledged.changed(), signal)
  }

  onGossip(bytes: Uint8Array, from: PeerKey): Verdict {
    const effects = this.#step({ type: 'gossip', from, bytes })
    const verdict = effects.find(effect => effect.type === 'verdict')
    this.#run(effects)
    if (verdict === undefined) return 'ignore'
    if (verdict.verdict === 'reject')
      this.#deps.log.warn('registry message refused', { peer: from, reason: verdict.reason })
    return verdict.verdict
  }

  onAck(bytes: Uint8Array, from: PeerKey): void {
    this.#dispatch({ type: 'ack', from, bytes })
  }

  /** Answers one request of a session that a peer runs with us. */
  onSync(request: Uint8Array): Uint8Array {
    return answer(this.state, request, this.#now())
  }

  /** Takes over from `peer` whatever it has newer. One session with a peer at a time; a second caller joins the first. */
  syncWith(peer: PeerKey): Promise<void> {
    const running = this.#sessions.get(peer)
    if (running !== undefined) return running
    const session = within(SYNC_TIMEOUT_MS, [this.#stopping.signal], signal => this.#session(peer, signal)).finally(
      () => this.#sessions.delete(peer)
    )
    this.#sessions.set(peer, session)
    return session
  }

  async #session(peer: PeerKey, signal: AbortSignal): Promise<void> {
    const session = new SyncSession(this.state, peer)
    let request: Uint8Array | undefined = session.first()
    while (request !== undefined) {
      const response = await this.#deps.transport.sync(peer, request, signal)
      const { request: next, effects, fault } = session.next(response, this.#now())
      this.#run(effects)
      if (fault !== undefined) throw fault
      request = next
    }
    this.#synchronised.fire()
  }

  #now() {
    const { clock } = this.#deps
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  }

  #step(event: Event): Effect[] {
    return step(this.state, event, this.#now())
  }

  #dispatch(event: Event): void {
    this.#run(this.#step(event))
  }

  #run(effects: readonly Effect[]): void {
    const { log, transport, saveMarks, forgetMark, onChange } = this.#deps
    const marks = effects.flatMap(effect => (effect.type === 'persist' ? [effect.mark] : []))
    // First: what is not on disk must not be told to anybody, or a crash would let us say something else instead.
    if (marks.length > 0) saveMarks(marks)
    let changed = false
    for (const effect of effects) {
      switch (effect.type) {
        case 'verdict':
        case 'persist':
          break
        case 'forget':
          forgetMark(effect.owner)
          break
        case 'publish':
          this.#published = effect.seq
          detach(log, 'registry publish', transport.publish(effect.bytes), this.#stopping.signal)
          break
        case 'send-ack':
          this.#acks.push(effect.to, effect.bytes)
          break
        case 'sync-with':
          this.syncWith(effect.peer).catch((err: unknown) =>
            log.debug('registry sync failed', { peer: effect.peer, err })
          )
          break
        case 'changed':
          changed = true
          onChange(effect)
          break
        case 'acknowledged':
          this.#acknowledged.fire()
          break
        case 'alarm':
          log.error(`registry alarm: ${effect.kind}`, { peer: effect.owner, reason: effect.detail })
          break
      }
    }
    if (changed) this.#changed.fire()
  }
}
