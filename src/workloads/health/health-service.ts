import { type Clock, detach, type Logger, sleep, WarrenError, within } from '../../core/index.ts'
import type { Workload } from '../index.ts'
import { Hysteresis } from './hysteresis.ts'

const INTERVAL_MS = 5_000
/** Between probes of a target that just failed, or that is failing. */
const DOUBT_INTERVAL_MS = 500
const PROBE_TIMEOUT_MS = 1_000
/** A program that listens at the path it is given learns that path by registering: so long it may take to bind. */
const START_MS = 15_000
/** At once. Beyond it a round is left out. */
const MAX_PROBES = 128
const JITTER = 0.2

export interface HealthDeps {
  /** Asks one workload for a sign of life. Rejects when there is none. */
  readonly probe: (workload: Workload, signal: AbortSignal) => Promise<void>
  /** Called when the verdict on a workload has changed. */
  readonly onChange: (workload: Workload, health: 'passing' | 'failing') => void
  readonly clock: Clock
  readonly log: Logger
}

interface Patient {
  readonly workload: Workload
  readonly verdict: Hysteresis
  readonly over: AbortController
  readonly sinceMs: number
  wasWell: boolean
  /** Why its last probe failed. */
  problem: string | undefined
  probedAtMs: number
  isUrgent: boolean
  /** Ends the pause before the next probe. */
  wake: (() => void) | undefined
}

/** Looks after the servers of this host, so that failing ones are passed over. */
export class HealthService {
  readonly #deps: HealthDeps
  readonly #patients = new Map<string, Patient>()
  #running = 0

  constructor(deps: HealthDeps) {
    this.#deps = deps
  }

  /** Begins to look after a workload, if it is one that can be asked. */
  add(workload: Workload): void {
    if (workload.check === undefined) return
    const over = new AbortController()
    const patient: Patient = {
      workload,
      verdict: new Hysteresis(),
      over,
      sinceMs: this.#deps.clock.monotonicMs(),
      wasWell: false,
      problem: undefined,
      probedAtMs: Number.NEGATIVE_INFINITY,
      isUrgent: false,
      wake: undefined
    }
    this.#patients.set(workload.registrationId, patient)
    detach(this.#deps.log, 'health checks', this.#attend(patient), over.signal)
  }

  remove(registrationId: string): void {
    this.#patients.get(registrationId)?.over.abort()
    this.#patients.delete(registrationId)
  }

  stop(): void {
    for (const registrationId of [...this.#patients.keys()]) this.remove(registrationId)
  }

  /** Why a workload is failing; undefined if it is not, or is not looked after. */
  problemOf(registrationId: string): string | undefined {
    const patient = this.#patients.get(registrationId)
    return patient === undefined || patient.verdict.isPassing ? undefined : patient.problem
  }

  /** Has the next probe made now: a connection has just failed. */
  suspect(registrationId: string): void {
    const patient = this.#patients.get(registrationId)
    if (patient === undefined) return
    patient.isUrgent = true
    patient.wake?.()
  }

  async #attend(patient: Patient): Promise<void> {
    const { signal } = patient.over
    while (!signal.aborted) {
      if (this.#running < MAX_PROBES) await this.#examine(patient)
      const isUncertain = patient.verdict.isInDoubt || this.#mayBeStarting(patient)
      const base = isUncertain ? DOUBT_INTERVAL_MS : INTERVAL_MS
      await this.#rest(patient, base * (1 - JITTER / 2 + Math.random() * JITTER))
    }
  }

  async #examine(patient: Patient): Promise<void> {
    const { workload, verdict, over } = patient
    const { probe, onChange, clock, log } = this.#deps
    this.#running += 1
    patient.probedAtMs = clock.monotonicMs()
    let failure: unknown
    try {
      await within(PROBE_TIMEOUT_MS, [over.signal], limit => probe(workload, limit))
      patient.wasWell = true
    } catch (err) {
      failure = err
    } finally {
      this.#running -= 1
    }
    if (over.signal.aborted) return
    if (failure !== undefined && this.#mayBeStarting(patient)) return
    patient.problem = failure === undefined ? undefined : WarrenError.from(failure).reason
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

  #mayBeStarting({ workload, wasWell, sinceMs }: Patient): boolean {
    return workload.check === 'hello' && !wasWell && this.#deps.clock.monotonicMs() - sinceMs < START_MS
  }

  async #rest(patient: Patient, ms: number): Promise<void> {
    const pause = new AbortController()
    const { signal } = patient.over
    patient.wake = () => pause.abort()
    signal.addEventListener('abort', patient.wake, { once: true })
    if (!signal.aborted && !patient.isUrgent) await sleep(ms, pause.signal).catch(() => {})
    signal.removeEventListener('abort', patient.wake)
    patient.wake = undefined
    if (!patient.isUrgent || signal.aborted) return
    // However many connections fail, a target is asked twice a second at most.
    const earlyMs = patient.probedAtMs + DOUBT_INTERVAL_MS - this.#deps.clock.monotonicMs()
    if (earlyMs > 0) await sleep(earlyMs, signal).catch(() => {})
    patient.isUrgent = false
  }
}
