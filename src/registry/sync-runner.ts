import { ErrorCode, LruMap, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Cancel, DriverPorts } from './driver-ports.ts'
import type { Effect } from './message.ts'
import type { RegistryState } from './state.ts'
import { SyncSession } from './sync-session.ts'

/** Limit of a whole session with one peer, in milliseconds; a large set takes several exchanges. */
const SESSION_MS = 30_000
/** Pause after a session that failed by the peer's answers, and after one that failed by the network. Milliseconds. */
const FAULT_PAUSE_MS = 10_000
const FAILURE_PAUSE_MS = 1_000
/** Number of peers whose pause is remembered; the oldest is dropped first. */
const MAX_PAUSES = 1_024

export interface SyncOutcome {
  /** Undefined when the session ended well. */
  readonly err: unknown
}

interface Running {
  hasNews: boolean
  /** Something is wanted of the peer that may have come there after it answered. */
  isWantedAgain: boolean
  readonly listeners: Array<(outcome: SyncOutcome) => void>
  cancel: Cancel
}

/** Runs sync sessions, one with each peer at a time. */
export class SyncRunner {
  readonly #state: RegistryState
  readonly #ports: DriverPorts
  readonly #run: (effects: readonly Effect[]) => void
  readonly #onFound: (found: 'nothing' | 'something') => void
  readonly #running = new Map<PeerKey, Running>()
  /** The end of each pause, by the monotonic clock. */
  readonly #pauses = new LruMap<PeerKey, number>(MAX_PAUSES)

  /** `onFound` is called at the end of each session: whether the peer had nothing new, or had something or failed. */
  constructor(
    state: RegistryState,
    ports: DriverPorts,
    run: (effects: readonly Effect[]) => void,
    onFound: (found: 'nothing' | 'something') => void
  ) {
    this.#state = state
    this.#ports = ports
    this.#run = run
    this.#onFound = onFound
  }

  get running(): number {
    return this.#running.size
  }

  /** A random connected peer that has no session and no pause. */
  choose(): PeerKey | undefined {
    const free = this.#ports.connected().filter(peer => this.#isFree(peer))
    return free[Math.floor(this.#ports.random() * free.length)]
  }

  /** Starts a session unless the peer has one or is in a pause. `again`: while it has one, another one follows that. */
  offer(peer: PeerKey, again = false): void {
    const running = this.#running.get(peer)
    if (running !== undefined) running.isWantedAgain ||= again
    else if (this.#isFree(peer)) this.start(peer)
  }

  /** Starts a session, or joins the one in progress. `onOutcome` is called exactly once, unless the runner is stopped. */
  start(peer: PeerKey, onOutcome: (outcome: SyncOutcome) => void = () => {}): void {
    const running = this.#running.get(peer)
    if (running !== undefined) {
      running.listeners.push(onOutcome)
      return
    }
    const session = new SyncSession(this.#state, peer)
    const started: Running = { hasNews: false, isWantedAgain: false, listeners: [onOutcome], cancel: () => {} }
    this.#running.set(peer, started)
    const deadlineMs = this.#ports.now().monotonicMs + SESSION_MS
    this.#exchange(session, started, session.first(), deadlineMs)
  }

  stop(): void {
    const running = [...this.#running.values()]
    this.#running.clear()
    for (const { cancel } of running) cancel()
  }

  #exchange(session: SyncSession, running: Running, request: Uint8Array, deadlineMs: number): void {
    const { peer } = session
    const onResponse = (response: Uint8Array): void => {
      const now = this.#ports.now()
      const { effects, request: next, fault } = session.next(response, now)
      running.hasNews ||= effects.length > 0 || next !== undefined
      try {
        this.#run(effects)
      } catch (err) {
        this.#finish(peer, running, err, FAILURE_PAUSE_MS)
        throw err
      }
      if (fault !== undefined) this.#finish(peer, running, fault, FAULT_PAUSE_MS)
      else if (next === undefined) this.#finish(peer, running, undefined, 0)
      else if (now.monotonicMs < deadlineMs) this.#exchange(session, running, next, deadlineMs)
      else this.#finish(peer, running, tookTooLong(), FAILURE_PAUSE_MS)
    }
    const onFailure = (err: unknown): void => this.#finish(peer, running, err, FAILURE_PAUSE_MS)
    running.cancel = this.#ports.request(peer, request, onResponse, onFailure)
  }

  #finish(peer: PeerKey, running: Running, err: unknown, pauseMs: number): void {
    if (this.#running.get(peer) !== running) return
    this.#running.delete(peer)
    this.#pauses.delete(peer)
    // A peer that answers nonsense, or not at all, must not take the turns of peers that can help.
    if (pauseMs > 0) this.#pauses.set(peer, this.#ports.now().monotonicMs + pauseMs)
    this.#onFound(err === undefined && !running.hasNews ? 'nothing' : 'something')
    if (err === undefined) this.#ports.synchronised(peer)
    else this.#ports.notSynchronised?.(peer, err)
    for (const listener of running.listeners) listener({ err })
    if (err === undefined && running.isWantedAgain) this.offer(peer)
  }

  #isFree(peer: PeerKey): boolean {
    if (this.#running.has(peer)) return false
    const until = this.#pauses.get(peer)
    if (until === undefined) return true
    if (this.#ports.now().monotonicMs < until) return false
    this.#pauses.delete(peer)
    return true
  }
}

function tookTooLong(): WarrenError {
  return new WarrenError(ErrorCode.Timeout, `a synchronisation took longer than ${SESSION_MS} ms`)
}
