import {
  ChangeSignal,
  type Clock,
  detach,
  type Logger,
  labelValue,
  type Metrics,
  raceAbort,
  silentMetrics,
  TokenBuckets,
  WarrenError,
  within
} from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import {
  type Cancel,
  type DriverPorts,
  type Effect,
  type GossipVerdict,
  type HandedState,
  type HighWaterMark,
  type LocalRecord,
  type Notice,
  type Profile,
  RegistryDriver,
  type RegistryState
} from '../registry/index.ts'
import { outcomeOf } from './gossip-outcome.ts'
import type { RegistryTransport } from './registry-transport.ts'
import { awaitReplication, type Replication, type WaitMode } from './replication.ts'

export interface RegistryServiceDeps {
  readonly state: RegistryState
  readonly transport: RegistryTransport
  /** Must be durable when it returns. */
  readonly saveHighWaterMarks: (highWaterMarks: readonly HighWaterMark[]) => void
  readonly deleteHighWaterMark: (owner: PeerKey) => void
  /** Called after an owner's records, head or suspicion changed. */
  readonly onChange: (change: Extract<Effect, { type: 'changed' }>) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics?: Metrics
}

/** How long the last head of this host may take to be sent. */
const GOODBYE_MS = 500
/** Lines of one alarm about one host: a clone causes the same one many times a minute. The metric counts all. */
const ALARM_LINES = { burst: 2, perSecond: 1 / 300, maxKeys: 256 }

/** Runs the registry on the mesh, the disk and the clocks of this host. */
export class RegistryService {
  readonly #deps: RegistryServiceDeps
  readonly #driver: RegistryDriver
  readonly #metrics: Metrics
  readonly #stopping = new AbortController()
  readonly #alarmLines = new TokenBuckets<string>(ALARM_LINES)
  readonly #changed = new ChangeSignal()
  readonly #acknowledged = new ChangeSignal()
  readonly #synchronised = new ChangeSignal()
  #awaiting = 0
  #lastPublish: Promise<unknown> = Promise.resolve()

  constructor(deps: RegistryServiceDeps) {
    this.#deps = deps
    this.#metrics = deps.metrics ?? silentMetrics
    this.#driver = new RegistryDriver(deps.state, this.#ports())
  }

  /** The work in progress. */
  get underWay(): { readonly sessions: number; readonly acks: number } {
    return this.#driver.underWay
  }

  get state(): RegistryState {
    return this.#deps.state
  }

  /** Starts the periodic work. The first head is published by the first call of `announce`. */
  start(): void {
    this.#driver.start()
  }

  /** Tells the other hosts that this one stops, and stops. Resolves when they have that, or cannot be reached in time. */
  async leave(): Promise<void> {
    this.#driver.dispatch({ type: 'leave' })
    const sent = this.#lastPublish
    this.stop()
    await within(GOODBYE_MS, [], signal => raceAbort(sent, signal)).catch(() => {})
    await this.#deps.transport.taken(GOODBYE_MS)
  }

  stop(): void {
    this.#stopping.abort()
    this.#driver.stop()
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
    this.#driver.dispatch({ type: 'local-head', profile })
  }

  /** Takes in what the process before knew of other hosts, verified as if they had sent it. */
  adopt(states: readonly HandedState[]): void {
    if (states.length > 0) this.#driver.dispatch({ type: 'handed', states })
  }

  put(record: LocalRecord): void {
    this.#driver.dispatch({ type: 'local-change', puts: [record], deletes: [] })
  }

  delete(registrationId: string): void {
    this.#driver.dispatch({ type: 'local-change', puts: [], deletes: [registrationId] })
  }

  /** Verifies every owner anew, and drops those that are no longer valid. */
  verifyOwners(): void {
    this.#driver.dispatch({ type: 'trust-changed' })
  }

  /** Hides a suspect's records, or shows them again. */
  suspect(peer: PeerKey, suspected: boolean): void {
    this.#driver.dispatch({ type: 'suspect', peer, suspect: suspected })
  }

  /** Call it before a change that somebody waits for: the change itself then asks for acknowledgements. */
  expectReplication(wait: WaitMode): void {
    if (wait !== 'local') this.#driver.dispatch({ type: 'await-acks', phase: 'begin' })
  }

  /** Waits for the acknowledgements of everything published so far. */
  async replicated(wait: WaitMode, signal: AbortSignal): Promise<Replication> {
    const { clock } = this.#deps
    const startedMs = clock.monotonicMs()
    const seq = this.#driver.published
    const progress = () => this.#driver.progress(seq)
    const outcome = await this.#whileAsking(wait, () =>
      awaitReplication(wait, progress, () => this.#acknowledged.changed(), signal)
    )
    this.#metrics.count('warren_replications_total', { wait, state: outcome.state })
    if (wait !== 'local') {
      this.#metrics.observe('warren_replication_seconds', { wait }, (clock.monotonicMs() - startedMs) / 1_000)
    }
    return outcome
  }

  onGossip(bytes: Uint8Array, from: PeerKey): GossipVerdict {
    const { verdict, reason } = this.#driver.gossip(bytes, from)
    this.#metrics.count('warren_registry_gossip_total', { outcome: outcomeOf(verdict, reason) })
    if (verdict === 'reject') this.#deps.log.warn('registry message refused', { peer: from, reason })
    return verdict
  }

  onAck(bytes: Uint8Array, from: PeerKey): void {
    this.#driver.dispatch({ type: 'ack', from, bytes })
  }

  /** Answers one request of a session that a peer runs with us. */
  onSync(request: Uint8Array, from: PeerKey): Uint8Array {
    return this.#driver.answer(request, ({ limit, reason }) => {
      if (limit !== undefined) this.#metrics.hit(limit, { peer: from, reason })
    })
  }

  /** Fetches from `peer` everything that it has newer. One session with a peer at a time; a second caller joins the first. */
  async syncWith(peer: PeerKey): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#driver.syncWith(peer, ({ err }) => (err === undefined ? resolve() : reject(err)))
    await raceAbort(promise, this.#stopping.signal)
  }

  async #whileAsking<T>(wait: WaitMode, work: () => Promise<T>): Promise<T> {
    if (wait === 'local') return await work()
    this.#awaiting += 1
    try {
      this.#driver.dispatch({ type: 'await-acks', phase: 'ask' })
      return await work()
    } finally {
      this.#awaiting -= 1
      if (this.#awaiting === 0) this.#driver.dispatch({ type: 'await-acks', phase: 'end' })
    }
  }

  #ports(): DriverPorts {
    const { transport, saveHighWaterMarks, deleteHighWaterMark, clock, log } = this.#deps
    const { signal } = this.#stopping
    return {
      now: () => ({ wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }),
      random: Math.random,
      after: (ms, run) => this.#after(ms, run),
      connected: transport.connected,
      listening: transport.listening,
      publish: bytes => {
        this.#lastPublish = transport.publish(bytes)
        detach(log, 'registry publish', this.#lastPublish, signal)
      },
      request: (peer, bytes, onResponse, onFailure) =>
        this.#call(
          limit => transport.sync(peer, bytes, limit),
          onResponse,
          err => {
            log.debug('registry sync failed', { peer, err })
            onFailure(err)
          }
        ),
      ack: (peer, bytes, onDelivered, onFailure) =>
        this.#call(
          limit => transport.ack(peer, bytes, limit),
          onDelivered,
          err => {
            log.debug('acknowledgement failed', { peer, err })
            onFailure(err)
          }
        ),
      gather: transport.gather,
      synchronised: () => {
        this.#metrics.count('warren_registry_sync_sessions_total', { result: 'ok' })
        this.#synchronised.fire()
      },
      notSynchronised: (peer, err) => {
        this.#metrics.count('warren_registry_sync_sessions_total', { result: 'failed' })
        const { limit, reason } = WarrenError.from(err)
        if (limit !== undefined) this.#metrics.hit(limit, { peer, reason })
      },
      saveHighWaterMarks,
      deleteHighWaterMark,
      notify: effect => this.#notify(effect)
    }
  }

  #notify(effect: Notice): void {
    switch (effect.type) {
      case 'changed':
        this.#deps.onChange(effect)
        this.#changed.fire()
        // A host that left is not waited for.
        if (effect.cause === 'left') this.#acknowledged.fire()
        break
      case 'acknowledged':
        this.#acknowledged.fire()
        break
      case 'alarm':
        this.#alarm(effect)
        break
      case 'limit':
        this.#metrics.hit(effect.limit, { peer: effect.peer, reason: effect.detail })
        break
    }
  }

  #alarm({ kind, owner, detail, limit }: Extract<Notice, { type: 'alarm' }>): void {
    this.#metrics.count('warren_registry_alarms_total', { kind: labelValue(kind) })
    // The log line about the reached limit has reported it already.
    if (kind === 'registry-full' || kind === 'rate-exceeded') return
    if (limit !== undefined) this.#metrics.count('warren_limit_hits_total', { limit })
    const named = limit === undefined ? {} : { limitName: limit }
    const fields = { peer: owner, reason: detail, ...named }
    if (this.#alarmLines.take(`${kind} ${owner}`, this.#deps.clock.monotonicMs())) {
      this.#deps.log.error(`registry alarm: ${kind}`, fields)
    } else {
      this.#deps.log.debug(`registry alarm: ${kind}`, fields)
    }
  }

  #after(ms: number, run: () => void): Cancel {
    const { log } = this.#deps
    const timer = setTimeout(() => {
      try {
        run()
      } catch (err) {
        log.warn('periodic task failed', { component: 'registry', err })
      }
    }, ms)
    return () => clearTimeout(timer)
  }

  #call<T>(
    send: (signal: AbortSignal) => Promise<T>,
    onDone: (value: T) => void,
    onFailure: (err: unknown) => void
  ): Cancel {
    const controller = new AbortController()
    const settled = send(controller.signal).then(
      value => (controller.signal.aborted ? undefined : onDone(value)),
      err => (controller.signal.aborted ? undefined : onFailure(err))
    )
    detach(this.#deps.log, 'registry exchange', settled, this.#stopping.signal)
    return () => controller.abort()
  }
}
