import { type LocalUser, sameUser } from '../../attest/index.ts'
import {
  type Clock,
  ErrorCode,
  type LogFields,
  type Logger,
  type Metrics,
  silentMetrics,
  WarrenError
} from '../../core/index.ts'
import { type EventSink, silentEvents } from '../../events/index.ts'
import type { UsageLimits } from '../../policy/index.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { ByteRates } from './byte-rates.ts'
import type { Cut } from './cut.ts'
import { DatagramRates } from './datagram-rates.ts'
import { datagramsOf, eventFieldsOf, infoOf, type ProcessOf } from './fields.ts'
import { Flow, type FlowAlarm, type FlowInfo, type FlowOptions } from './flow.ts'
import { type ConnectionEnd, PastFlows } from './past-flows.ts'
import { FlowRoom } from './room.ts'
import { FlowTotals } from './totals.ts'
import type { FlowTracer } from './trace.ts'
import { WaitingAccounts } from './waiting-accounts.ts'

const IN_ORDER: ConnectionEnd = Object.freeze({ state: 'ended' })

export interface FlowTableOptions {
  readonly limits: ProxyLimits
  readonly log: Logger
  readonly clock: Clock
  /** @default metrics are discarded */
  readonly metrics?: Metrics
  /** @default events are discarded */
  readonly events?: EventSink
  /** @default openings are not traced */
  readonly tracer?: FlowTracer | undefined
  /** The user of a registration of this host. @default nobody can ask how a flow ended */
  readonly userOf?: ((registrationId: string) => LocalUser | undefined) | undefined
  /** The process of a registration of this host, for the events. @default the events name none */
  readonly processOf?: ProcessOf | undefined
  /** How much a registration of this host may be used now. @default as much as the agent allows */
  readonly limitsOf?: ((registrationId: string) => UsageLimits) | undefined
}

/**
 * Every flow of this agent, opening or open.
 *
 * A flow is entered before its policy decision: a change of policy in between finds it here and cuts it, so that none
 * is missed.
 */
export class FlowTable {
  readonly #flows = new Set<Flow>()
  readonly #perWorkload = new Map<string, number>()
  readonly #perDestination = new Map<string, number>()
  readonly #charged = new Map<
    Flow,
    { readonly workloads: string[]; readonly destination: string; readonly users: LocalUser[] }
  >()
  #waiting: PromiseWithResolvers<void> | undefined
  #closed: string | undefined
  readonly #limits: ProxyLimits
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #events: EventSink
  readonly #tracer: FlowTracer | undefined
  readonly #waitingAccounts: WaitingAccounts
  /** Totals of flows that have ended. */
  readonly #past = new FlowTotals()
  readonly #ended = new PastFlows()
  readonly #userOf: (registrationId: string) => LocalUser | undefined
  readonly #processOf: ProcessOf
  readonly #byteRates: ByteRates
  readonly #datagramRates: DatagramRates

  constructor(options: FlowTableOptions) {
    const { limits, log, clock, metrics = silentMetrics, events = silentEvents, userOf } = options
    this.#datagramRates = new DatagramRates(limits.datagramsPerSecond, clock.monotonicMs)
    this.#byteRates = new ByteRates(options.limitsOf ?? (() => ({})), metrics, clock.monotonicMs)
    this.#limits = limits
    this.#log = log
    this.#clock = clock
    this.#metrics = metrics
    this.#events = events
    this.#tracer = options.tracer
    this.#userOf = userOf ?? (() => undefined)
    this.#processOf = options.processOf ?? (() => undefined)
    this.#waitingAccounts = new WaitingAccounts(limits, metrics)
  }

  get size(): number {
    return this.#flows.size
  }

  /** Refuses new flows from now on, for `reason`. */
  close(reason: string): void {
    this.#closed = reason
  }

  /** Whether a flow satisfies `isMeant`. */
  some(isMeant: (flow: Flow) => boolean): boolean {
    for (const flow of this.#flows) if (isMeant(flow)) return true
    return false
  }

  /** The flows that satisfy `isMeant`. */
  those(isMeant: (flow: Flow) => boolean): Flow[] {
    return [...this.#flows].filter(isMeant)
  }

  /** Resolves when a flow ends. */
  left(): Promise<void> {
    this.#waiting ??= Promise.withResolvers<void>()
    return this.#waiting.promise
  }

  /**
   * Enters a flow that is about to be evaluated. Throws LIMIT_EXCEEDED; once closed, NOT_READY to a source of this host
   * and DESTINATION_UNREACHABLE to other sources. `end` must follow.
   */
  enter(options: Omit<FlowOptions, 'openedAtMs' | 'startedAtMs'>): Flow {
    if (this.#closed !== undefined) {
      const code = options.direction === 'inbound' ? ErrorCode.DestinationUnreachable : ErrorCode.NotReady
      throw new WarrenError(code, this.#closed)
    }
    const { flows } = this.#limits
    if (this.#flows.size >= flows) throw limitExceeded(this.#metrics, 'proxy_flows', 'flows of this agent', flows)
    const openedAtMs = this.#clock.wallMs()
    const flow = new Flow({ ...options, openedAtMs, startedAtMs: this.#clock.monotonicMs() })
    flow.trace = this.#tracer?.begin(flow.id, flow.direction)
    this.#flows.add(flow)
    return flow
  }

  /** Counts the flow for the registrations of this host that take part in it. Throws LIMIT_EXCEEDED. */
  charge(flow: Flow, workloads: readonly (string | undefined)[]): void {
    this.#discharge(flow)
    const ours = workloads.filter(id => id !== undefined)
    const { flowsPerWorkload } = this.#limits
    for (const id of ours) {
      if ((this.#perWorkload.get(id) ?? 0) < flowsPerWorkload) continue
      const what = 'flows of one registration'
      throw limitExceeded(this.#metrics, 'proxy_flows_per_workload', what, flowsPerWorkload, { registrationId: id })
    }
    const destination = flow.destination?.registrationId ?? ''
    for (const id of ours) add(this.#perWorkload, id, 1)
    if (flow.protocol === 'udp') this.#datagramRates.limit(flow, ours)
    flow.pace = this.#byteRates.paceOf(flow, ours)
    add(this.#perDestination, destination, 1)
    // Now, because a registration that ends cuts its flows after it has gone.
    const users = ours.map(id => this.#userOf(id)).filter(user => user !== undefined)
    if (flow.protocol === 'tcp') {
      const session = (): string => `${flow.sourceMachine} ${flow.sourceText} ${destination}`
      flow.room = new FlowRoom({ accounts: this.#waitingAccounts, session, workloads: ours })
    }
    this.#charged.set(flow, { workloads: ours, destination, users })
  }

  /** Flows through this agent to one registration, for load balancing. */
  activeTo(registrationId: string): number {
    return this.#perDestination.get(registrationId) ?? 0
  }

  /** Removes the entry of a preflight that succeeded: it is not a flow, so operators get no log line. */
  checked(flow: Flow): void {
    this.#flows.delete(flow)
    this.#discharge(flow)
    this.#wake()
  }

  /** The two ends of a flow are about to be joined. `finish` must follow. */
  opened(flow: Flow): void {
    flow.isOpen = true
    this.#metrics.count('warren_flows_opened_total', { direction: flow.direction, protocol: flow.protocol })
    const fields = eventFieldsOf(flow, this.#processOf)
    this.#events.emit('flow-opened', fields)
    flow.trace?.ended(fields)
  }

  /** An audit rule alone lets the flow pass; `reason` says why it would be refused without it. */
  audited(flow: Flow, rule: string, reason: string): void {
    this.#events.emit('flow-audited', { ...eventFieldsOf(flow, this.#processOf), rule, reason })
  }

  /** Removes a flow that was open: both sides ended it, unless it was cut. */
  finish(flow: Flow, cut: Cut | undefined): void {
    this.end(flow, cut?.text ?? 'ended', undefined, cut?.kind)
  }

  /** Removes the flow and writes its log line. Without a code, it ended normally. */
  end(flow: Flow, reason: string, code?: ErrorCode, kind: Cut['kind'] | 'ended' = 'ended'): void {
    if (!this.#flows.delete(flow)) return
    if (flow.isOpen) this.#remember(flow, reason, kind)
    this.#discharge(flow)
    this.#wake()
    this.#past.add(flow)
    const fields = eventFieldsOf(flow, this.#processOf)
    const { flowId, direction, source, destination, protocol, carrier, rule } = fields
    if (flow.isOpen) this.#metrics.count('warren_flows_ended_total', { direction, reason: kind })
    else this.#metrics.count('warren_flows_failed_total', { direction, code: code ?? ErrorCode.FlowCut })
    const { bytesIn, bytesOut } = flow
    const durationMs = Math.round(this.#clock.monotonicMs() - flow.startedAtMs)
    // No object is copied here: this is a tenth of the objects of a connection.
    const line: LogFields = { flowId, source, destination, protocol, carrier, rule, bytesIn, bytesOut }
    if (protocol === 'udp') Object.assign(line, datagramsOf(flow))
    line.durationMs = durationMs
    line.reason = reason
    if (code !== undefined) line.code = code
    this.#log.info('flow ended', line)
    if (flow.isOpen) this.#events.emit('flow-ended', { ...fields, reason, kind, bytesIn, bytesOut, durationMs })
    else {
      const failure = { reason, code: code ?? ErrorCode.FlowCut }
      this.#events.emit('flow-refused', { ...fields, ...failure })
      flow.trace?.ended(fields, failure)
    }
  }

  /** How a connection of `user` ended, if it has. */
  endOf(user: LocalUser, flowId: string): ConnectionEnd {
    const past = this.#ended.of(user, flowId)
    if (past !== undefined) return past
    return { state: this.#openOf(user, flowId) === undefined ? 'unknown' : 'open' }
  }

  /** Resets a connection of `user`, if it is open. */
  reset(user: LocalUser, flowId: string): void {
    this.#openOf(user, flowId)?.cut({ kind: 'reset', text: 'reset by the workload' })
  }

  /** Evaluates each flow, and cuts those for which `evaluate` returns a cut. Returns the number of cuts. */
  review(evaluate: (flow: Flow) => Cut | undefined): number {
    let cuts = 0
    for (const flow of [...this.#flows]) {
      if (flow.cutBy !== undefined) continue
      const cut = evaluate(flow)
      if (cut === undefined) continue
      flow.cut(cut)
      cuts += 1
    }
    return cuts
  }

  /** Limits the bytes of each flow as the policy says now. */
  followLimits(): void {
    for (const [flow, { workloads }] of this.#charged) flow.pace = this.#byteRates.paceOf(flow, workloads)
  }

  /** Totals of all flows, the present ones among them, and the number of present flows. */
  totals(): FlowTotals {
    const totals = this.#past.copy()
    for (const flow of this.#flows) totals.add(flow).now(flow)
    return totals
  }

  /** `alarmOf` returns when, and why, a flow will be cut, if that is known. */
  list(alarmOf: (flow: Flow) => FlowAlarm | undefined): FlowInfo[] {
    return [...this.#flows].map(flow => ({ ...infoOf(flow), ...alarmOf(flow) }))
  }

  #openOf(user: LocalUser, flowId: string): Flow | undefined {
    const flows = this.those(({ id, isOpen }) => isOpen && id === flowId)
    return flows.find(flow => this.#charged.get(flow)?.users.some(one => sameUser(one, user)))
  }

  #remember(flow: Flow, reason: string, kind: Cut['kind'] | 'ended'): void {
    flow.endedAs = kind
    const inOrder = kind === 'ended' || kind === 'done'
    const end: ConnectionEnd = inOrder ? IN_ORDER : { state: 'cut', kind, reason }
    for (const user of this.#charged.get(flow)?.users ?? []) this.#ended.add(user, flow.id, end)
  }

  #wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }

  #discharge(flow: Flow): void {
    const charged = this.#charged.get(flow)
    if (charged === undefined) return
    this.#charged.delete(flow)
    for (const id of charged.workloads) {
      add(this.#perWorkload, id, -1)
      if (this.#perWorkload.has(id)) continue
      this.#datagramRates.forget(id)
      this.#byteRates.forget(id)
    }
    add(this.#perDestination, charged.destination, -1)
    flow.room?.close()
    flow.room = undefined
  }
}

function add(counts: Map<string, number>, key: string, difference: number): void {
  const count = (counts.get(key) ?? 0) + difference
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}
