import { type Logger, type Metrics, silentMetrics } from '../core/index.ts'
import { type EventSink, silentEvents } from '../events/index.ts'
import type { ProxyDeps } from './deps.ts'
import { type CutKind, type Flow, fieldsOf } from './flow/index.ts'
import type { ResumableLeg } from './relay/index.ts'
import type { KeptAccount, KeptAccounts } from './resume/index.ts'

/** Records which flows wait for a path, and how that ended. */
export class Interruptions {
  /** For so long a flow waits. */
  readonly windowMs: number
  readonly #accounts: KeptAccounts
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #events: EventSink
  readonly #nowMs: () => number
  readonly #waiting = new Set<Flow>()

  constructor({ log, metrics, events, clock }: ProxyDeps, windowMs: number, accounts: KeptAccounts) {
    this.windowMs = windowMs
    this.#accounts = accounts
    this.#log = log
    this.#metrics = metrics ?? silentMetrics
    this.#events = events ?? silentEvents
    this.#nowMs = clock.monotonicMs
  }

  /** Flows that wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** Where memory is scarce, nothing is kept: the flow ends with its path. */
  accountOf(flow: Flow): KeptAccount {
    const workload = flow.sourceId ?? flow.destination?.registrationId ?? ''
    return this.#accounts.of(workload, () => flow.room?.isScarce !== true)
  }

  waits(flow: Flow, leg: ResumableLeg): void {
    this.#waiting.add(flow)
    const { leafDer, machine } = leg.link.peer()
    flow.interruption = { leafDer, machine, isWaiting: true, untilMs: this.#nowMs() + this.windowMs }
    flow.isOnFastPath = false
    this.#log.info('flow waits for another path', fieldsOf(flow))
    this.#events.emit('flow-waits', { ...fieldsOf(flow), rule: flow.rule, windowMs: this.windowMs })
  }

  resumed(flow: Flow, carrier: string): void {
    this.#waiting.delete(flow)
    // The news of the other host's registrations may come later than the flow continues.
    const { interruption } = flow
    if (interruption !== undefined) {
      flow.interruption = { ...interruption, isWaiting: false, untilMs: this.#nowMs() + this.windowMs }
    }
    flow.carrier = carrier
    flow.isOnFastPath = false
    this.#count('resumed')
    this.#log.info('flow resumed', fieldsOf(flow))
    this.#events.emit('flow-resumed', { ...fieldsOf(flow), rule: flow.rule })
  }

  over(flow: Flow, kind: CutKind | undefined): void {
    if (!this.#waiting.delete(flow)) return
    this.#count(kind === 'link' ? 'given_up' : 'ended')
  }

  #count(result: 'resumed' | 'given_up' | 'ended'): void {
    this.#metrics.count('warren_flow_interruptions_total', { result })
  }
}
