import { type Clock, detach, type Logger, sleep, WarrenError, within } from '../../core/index.ts'
import type { Workload } from '../index.ts'
import type { CheckIo } from './checkers/index.ts'
import { Hysteresis } from './hysteresis.ts'

const INTERVAL_MS = 5_000
/** Time between probes of a target that just failed, or that is failing. */
const SUSPICION_INTERVAL_MS = 500
const PROBE_TIMEOUT_MS = 1_000
/** Probes at once. Beyond it a round is skipped. */
const MAX_PROBES = 128
const JITTER = 0.2

export interface HealthDeps {
  /** How checkers reach the servers. */
  readonly io: CheckIo
  /** Called when the verdict on a workload has changed. */
  readonly onChange: (workload: Workload, health: 'passing' | 'failing') => void
  readonly clock: Clock
  readonly log: Logger
}

interface Monitored {
  readonly workload: Workload
  readonly verdict: Hysteresis
  readonly over: AbortController
  readonly sinceMs: number
  hasPassed: boolean
  /** Why its last probe failed. */
  problem: string | undefined
  /** Wall time of its first failure since it passed. */
  failingSinceMs: number | undefined
  probedAtMs: number
  isUrgent: boolean
  /** Ends the pause before the next probe. */
  wake: (() => void) | undefined
}

/** Checks the servers of this host, so that failing ones are skipped. */
export class HealthService {
  readonly #deps: HealthDeps
  readonly #monitored = new Map<string, Monitored>()
  #running = 0

  constructor(deps: HealthDeps) {
    this.#deps = deps
  }

  /** Begins to check a workload, if it can be probed. */
  add(workload: Workload): void {
    if (workload.check === undefined) return
    const over = new AbortController()
    const monitored: Monitored = {
      workload,
      verdict: new Hysteresis(),
      over,
      sinceMs: this.#deps.clock.monotonicMs(),
      hasPassed: false,
      problem: undefined,
      failingSinceMs: undefined,
      probedAtMs: Number.NEGATIVE_INFINITY,
      isUrgent: false,
      wake: undefined
    }
    this.#monitored.set(workload.registrationId, monitored)
    detach(this.#deps.log, 'health checks', this.#monitor(monitored), over.signal)
  }

  remove(registrationId: string): void {
    this.#monitored.get(registrationId)?.over.abort()
    this.#monitored.delete(registrationId)
  }

  stop(): void {
    for (const registrationId of [...this.#monitored.keys()]) this.remove(registrationId)
  }

  /** Why a workload is failing; undefined if it is not failing, or not checked. */
  problemOf(registrationId: string): string | undefined {
    const monitored = this.#monitored.get(registrationId)
    return monitored === undefined || monitored.verdict.isPassing ? undefined : monitored.problem
  }

  /** Wall time since which the probes of a workload fail; undefined if the last one passed, or it is not checked. */
  failingSinceMs(registrationId: string): number | undefined {
    return this.#monitored.get(registrationId)?.failingSinceMs
  }

  /** Makes the next probe now, since a connection has just failed. */
  suspect(registrationId: string): void {
    const monitored = this.#monitored.get(registrationId)
    if (monitored === undefined) return
    monitored.isUrgent = true
    monitored.wake?.()
  }

  async #monitor(monitored: Monitored): Promise<void> {
    const { signal } = monitored.over
    while (!signal.aborted) {
      if (this.#running < MAX_PROBES) await this.#runCheck(monitored)
      const isUncertain = monitored.verdict.isUncertain || this.#mayBeStarting(monitored)
      const base = isUncertain ? SUSPICION_INTERVAL_MS : INTERVAL_MS
      await this.#rest(monitored, base * (1 - JITTER / 2 + Math.random() * JITTER))
    }
  }

  async #runCheck(monitored: Monitored): Promise<void> {
    const { workload, verdict, over } = monitored
    const { target, check } = workload
    const { io, onChange, clock, log } = this.#deps
    this.#running += 1
    monitored.probedAtMs = clock.monotonicMs()
    let failure: unknown
    try {
      await within(PROBE_TIMEOUT_MS, [over.signal], limit =>
        target === undefined || check === undefined
          ? Promise.resolve()
          : check.check({ target, spiffeId: workload.spiffeId }, io, limit)
      )
      monitored.hasPassed = true
    } catch (err) {
      failure = err
    } finally {
      this.#running -= 1
    }
    if (over.signal.aborted) return
    if (failure !== undefined && this.#mayBeStarting(monitored)) return
    monitored.problem = failure === undefined ? undefined : WarrenError.from(failure).reason
    monitored.failingSinceMs = failure === undefined ? undefined : (monitored.failingSinceMs ?? clock.wallMs())
    if (!verdict.note(failure === undefined)) return
    const health = verdict.isPassing ? 'passing' : 'failing'
    const { registrationId, spiffeId } = workload
    log.info(`workload is ${health}`, {
      source: spiffeId,
      registrationId,
      ...(failure === undefined ? {} : { err: failure })
    })
    onChange(workload, health)
  }

  #mayBeStarting({ workload, hasPassed, sinceMs }: Monitored): boolean {
    return !hasPassed && this.#deps.clock.monotonicMs() - sinceMs < (workload.check?.startMs ?? 0)
  }

  async #rest(monitored: Monitored, ms: number): Promise<void> {
    const pause = new AbortController()
    const { signal } = monitored.over
    monitored.wake = () => pause.abort()
    signal.addEventListener('abort', monitored.wake, { once: true })
    if (!signal.aborted && !monitored.isUrgent) await sleep(ms, pause.signal).catch(() => {})
    signal.removeEventListener('abort', monitored.wake)
    monitored.wake = undefined
    if (!monitored.isUrgent || signal.aborted) return
    // A target is probed twice a second at most, for any number of failed connections.
    const earlyMs = monitored.probedAtMs + SUSPICION_INTERVAL_MS - this.#deps.clock.monotonicMs()
    if (earlyMs > 0) await sleep(earlyMs, signal).catch(() => {})
    monitored.isUrgent = false
  }
}
