import type { WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { AckQueue } from './ack-queue.ts'
import { answer } from './answer.ts'
import type { Cancel, DriverPorts } from './driver-ports.ts'
import { type Effect, type Event, type GossipVerdict, sentToAll } from './message.ts'
import { type ReplicationProgress, replication } from './replication.ts'
import type { RegistryState } from './state.ts'
import { step } from './step.ts'
import { SyncPace } from './sync-pace.ts'
import { type SyncOutcome, SyncRunner } from './sync-runner.ts'

const TICK_MS = 1_000
const TICK_JITTER = 0.2
const SYNC_JITTER = 0.6

const NOTHING: ReplicationProgress = Object.freeze({ acked: 0, required: 0, missing: [] })

/**
 * Runs a registry: feeds it with events and carries out its effects, through the ports of its host. The running
 * agent and the simulator use this same class, with different ports.
 *
 * A method throws the error that `step` or `saveHighWaterMarks` threw.
 */
export class RegistryDriver {
  readonly state: RegistryState
  readonly #ports: DriverPorts
  readonly #step: typeof step
  readonly #acks: AckQueue
  readonly #sync: SyncRunner
  readonly #pace = new SyncPace()
  #cancelSync: Cancel = () => {}
  #published = 0n
  #stopped = false

  /** `stepWith` replaces `step` in a test that shows the effect of a fault in it. */
  constructor(state: RegistryState, ports: DriverPorts, stepWith: typeof step = step) {
    this.state = state
    this.#ports = ports
    this.#step = stepWith
    this.#acks = new AckQueue(ports)
    const run = (effects: readonly Effect[]): void => this.#run(effects)
    this.#sync = new SyncRunner(state, ports, run, found =>
      found === 'nothing' ? this.#pace.nothingNew() : this.#news()
    )
  }

  /** The newest head of our own that was given to the network; zero before the first. */
  get published(): bigint {
    return this.#published
  }

  /** The work in progress, for metrics. */
  get underWay(): { readonly sessions: number; readonly acks: number } {
    return { sessions: this.#sync.running, acks: this.#acks.size }
  }

  /** Starts the periodic work. */
  start(): void {
    this.#tick()
    this.#synchronise()
  }

  /** Cancels all work in progress; nothing is called back afterwards. */
  stop(): void {
    this.#stopped = true
    this.#acks.stop()
    this.#sync.stop()
  }

  /** Applies an event and carries out its effects. */
  dispatch(event: Exclude<Event, { type: 'gossip' }>): void {
    const effects = this.#step(this.state, event, this.#ports.now())
    // Others may miss it, and only who asks them finds out.
    if ((event.type === 'local-change' || event.type === 'local-head') && effects.length > 0) this.#news()
    this.#run(effects)
  }

  /** Takes in a message of the topic; whether it is handed on is for the verdict to say. */
  gossip(bytes: Uint8Array, from: PeerKey): { readonly verdict: GossipVerdict; readonly reason: string } {
    const effects = this.#step(this.state, { type: 'gossip', from, bytes }, this.#ports.now())
    this.#run(effects)
    return effects.find(effect => effect.type === 'verdict') ?? { verdict: 'ignore', reason: 'no verdict' }
  }

  /** Answers one request of a session that a peer runs with us. */
  answer(request: Uint8Array, onRefused?: (err: WarrenError) => void): Uint8Array {
    return answer(this.state, request, this.#ports.now(), { onRefused, onDifference: () => this.#news() })
  }

  /** Fetches from `peer` everything that it has newer, now; joins a session with it that is in progress. */
  syncWith(peer: PeerKey, onOutcome?: (outcome: SyncOutcome) => void): void {
    if (this.#stopped) return
    this.#news()
    this.#sync.start(peer, onOutcome)
  }

  /** The progress of the changes published up to `seq`; undefined when that is forgotten. */
  progress(seq: bigint): ReplicationProgress | undefined {
    return seq === 0n ? NOTHING : replication(this.state, seq)
  }

  #run(effects: readonly Effect[]): void {
    const { saveHighWaterMarks, deleteHighWaterMark, publish, notify } = this.#ports
    const highWaterMarks = effects.flatMap(effect => (effect.type === 'persist' ? [effect.highWaterMark] : []))
    // Persisted first: a head that is sent but not on disk could be contradicted by another one after a crash.
    if (highWaterMarks.length > 0) saveHighWaterMarks(highWaterMarks)
    for (const effect of effects) {
      if (this.#stopped) return
      switch (effect.type) {
        case 'verdict':
        case 'persist':
          break
        case 'forget':
          deleteHighWaterMark(effect.owner)
          break
        case 'publish':
          this.#published = effect.seq
          publish(this.#hasAllListening() ? sentToAll(effect.bytes) : effect.bytes)
          break
        case 'send-ack':
          this.#acknowledge(effect)
          break
        case 'sync-with':
          this.#news()
          this.#sync.offer(this.#askedFor(effect), effect.prefersOwner)
          break
        case 'changed':
          this.#news()
          notify(effect)
          break
        case 'acknowledged':
        case 'alarm':
          notify(effect)
          break
        case 'limit':
          // What was not taken comes by synchronisation.
          this.#news()
          notify(effect)
          break
      }
    }
  }

  #askedFor({ peer, owner, prefersOwner = false }: Extract<Effect, { type: 'sync-with' }>): PeerKey {
    return prefersOwner && this.#ports.connected().includes(owner) ? owner : peer
  }

  #acknowledge({ to, bytes, epoch, seq, wanted }: Extract<Effect, { type: 'send-ack' }>): void {
    const isSent = wanted === undefined || this.#ports.connected().includes(to)
    if (wanted !== undefined) {
      this.#ports.gather({ owner: to, epoch, seq, isSent, again: wanted.again, via: isSent ? to : wanted.via })
    }
    if (isSent) this.#acks.push(to, bytes)
  }

  #hasAllListening(): boolean {
    const listening = new Set(this.#ports.listening())
    return this.state.entries.keys().every(peer => peer === this.state.own.peer || listening.has(peer))
  }

  #tick(): void {
    this.#after(TICK_MS, TICK_JITTER, () => {
      // Scheduled before the round: a round that fails must not be the last one.
      this.#tick()
      this.dispatch({ type: 'tick' })
    })
  }

  #synchronise(): void {
    this.#cancelSync = this.#after(this.#pace.pauseMs(this.state.entries.size), SYNC_JITTER, () => {
      this.#synchronise()
      const peer = this.#sync.choose()
      if (peer !== undefined) this.#sync.start(peer)
    })
  }

  #news(): void {
    if (!this.#pace.news() || this.#stopped) return
    this.#cancelSync()
    this.#synchronise()
  }

  #after(ms: number, jitter: number, round: () => void): Cancel {
    const { after, random } = this.#ports
    return after(ms * (1 - jitter / 2 + random() * jitter), () => {
      if (!this.#stopped) round()
    })
  }
}
