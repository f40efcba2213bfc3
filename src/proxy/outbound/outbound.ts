import { ErrorCode, type Logger, type Protocol, WarrenError, within } from '../../core/index.ts'
import { formatAddress, type Pattern, spiffeIdOf } from '../../identity/index.ts'
import { EXPECTED_CARRIER } from '../carriers/index.ts'
import type { Candidate, ProxyDeps } from '../deps.ts'
import { type FirstBytes, type Flow, type FlowTable, SAME_HOST } from '../flow/index.ts'
import { greet } from '../hello.ts'
import type { Admission } from '../inbound/index.ts'
import { discardEnd, type FlowEnd } from '../relay/index.ts'
import type { ClientSession, SessionPool } from '../session/index.ts'
import { ATTEMPT_TIMEOUT_MS, ATTEMPTS_TIMEOUT_MS, MIN_ATTEMPT_MS } from '../timing.ts'
import { Attempts, type Failed } from './attempts.ts'
import { requireFits, type Strategy, tryOrder } from './balance.ts'
import { OutlierTracker } from './outlier-tracker.ts'
import type { Resumer } from './resumer.ts'

/** The request of a source for a flow. */
export interface OpenRequest {
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** The instance to try first, if it still exists. */
  readonly preferred?: string | undefined
  /** What its client has sent so far, if that may travel with the request for the flow. */
  readonly first?: FirstBytes | undefined
}

/** An instance that granted the flow. */
export interface Reached {
  readonly candidate: Candidate
}

export interface OutboundDeps {
  readonly deps: ProxyDeps
  readonly flows: FlowTable
  readonly pool: SessionPool
  readonly admission: Admission
  /** Undefined if this agent resumes no flows. */
  readonly resumer: Resumer | undefined
}

/** The source's side of opening flows: selects the instance and the session. */
export class Outbound {
  readonly #deps: ProxyDeps
  readonly #flows: FlowTable
  readonly #pool: SessionPool
  readonly #admission: Admission
  readonly #resumer: Resumer | undefined
  readonly #log: Logger
  readonly #outliers: OutlierTracker

  constructor({ deps, flows, pool, admission, resumer }: OutboundDeps) {
    this.#deps = deps
    this.#flows = flows
    this.#pool = pool
    this.#admission = admission
    this.#resumer = resumer
    this.#log = deps.log
    this.#outliers = new OutlierTracker(deps.clock.monotonicMs)
  }

  /**
   * Opens `flow` to an instance, and tries others when one fails. Rejects with an error of Connect or LIMIT_EXCEEDED.
   */
  async open(flow: Flow, request: OpenRequest, signal: AbortSignal): Promise<Reached & { readonly end: FlowEnd }> {
    const attempt = (candidate: Candidate, limit: AbortSignal, isLast: boolean): Promise<FlowEnd> =>
      // Bytes that were sent to one instance must not be sent to another one as well.
      candidate.local
        ? this.#openHere(flow, limit)
        : this.#openThere(flow, candidate, limit, isLast ? request.first : undefined)
    const { candidate, result: end } = await this.#first(flow, request, signal, attempt, discardEnd)
    return { candidate, end }
  }

  /** Performs all checks of `open` without opening a flow. */
  async preflight(flow: Flow, request: OpenRequest, signal: AbortSignal): Promise<Reached> {
    return await this.#first(flow, request, signal, (candidate, limit) => {
      if (candidate.local) return this.#admission.preflight(flow, limit)
      const asked = { destination: candidate, protocol: flow.protocol, flowId: flow.id }
      return this.#onSession(flow, candidate, limit, session => session.preflight(asked, limit))
    })
  }

  async #openHere(flow: Flow, signal: AbortSignal): Promise<FlowEnd> {
    const admission = this.#admission
    const { end, target } =
      flow.protocol === 'tcp' ? await admission.admitTcp(flow, signal) : await admission.admitUdp(flow, signal)
    greet(end, target, flow.id, spiffeIdOf(this.#deps.trustDomain, flow.source))
    return end
  }

  #openThere(flow: Flow, candidate: Candidate, signal: AbortSignal, first?: FirstBytes): Promise<FlowEnd> {
    const multipath = this.#deps.local.isMultipath?.(flow.sourceId ?? '') === true
    const { id: flowId, protocol, room } = flow
    const request = { destination: candidate, protocol, flowId, multipath, room, first }
    const use = async (session: ClientSession): Promise<FlowEnd> => {
      const end = await session.open(request, signal)
      return end.kind === 'capsules' ? end : { ...end, resuming: this.#resumer }
    }
    return this.#onSession(flow, candidate, signal, use, first)
  }

  // A warm session may have died unnoticed; the same instance then gets a second attempt on a new one.
  async #onSession<T>(
    flow: Flow,
    candidate: Candidate,
    signal: AbortSignal,
    use: (session: ClientSession) => Promise<T>,
    first?: FirstBytes
  ): Promise<T> {
    const { sourceId } = flow
    if (sourceId === undefined) throw new WarrenError(ErrorCode.Internal, 'a flow without a local source was sent out')
    for (let retried = false; ; retried = true) {
      flow.trace?.step('get session', candidate.machine)
      const session = await this.#pool.acquire(sourceId, candidate, signal)
      flow.carrier = session.path.name
      flow.trace?.step('ask agent', candidate.machine)
      try {
        return await use(session)
      } catch (err) {
        const isFinal = signal.aborted || retried || session.isSound || first?.areSent === true
        if (isFinal) throw translate(err, candidate)
      }
    }
  }

  async #first<T>(
    flow: Flow,
    request: OpenRequest,
    signal: AbortSignal,
    attempt: (candidate: Candidate, limit: AbortSignal, isLast: boolean) => Promise<T>,
    discard: (result: T) => void = () => {}
  ): Promise<{ readonly candidate: Candidate; readonly result: T }> {
    flow.trace?.step('choose instance')
    const { order, decided, allowed } = this.#order(flow, request)
    const failed: Failed[] = []
    const { monotonicMs } = this.#deps.clock
    const untilMs = monotonicMs() + ATTEMPTS_TIMEOUT_MS
    const share = (): number => Math.max(MIN_ATTEMPT_MS, Math.min(ATTEMPT_TIMEOUT_MS, untilMs - monotonicMs()))
    let index = -1
    for (const candidate of order) {
      index += 1
      this.#setDestination(flow, candidate)
      try {
        // Later attempts follow a wait, in which the policy may have changed.
        if (index > 0 || candidate !== decided) this.#admission.authorize(flow)
        this.#flows.charge(flow, [flow.sourceId])
        const isLast = index === order.length - 1
        const result = isLast
          ? await attempt(candidate, signal, isLast)
          : await within(share(), [signal], limit => attempt(candidate, limit, isLast))
        // The flow was cut during the request, by a change that the other agent may not know of.
        if (flow.signal.aborted) {
          discard(result)
          throw flow.signal.reason
        }
        this.#outliers.worked(candidate)
        return { candidate, result }
      } catch (err) {
        if (signal.aborted) throw signal.reason
        const error = translate(err, candidate)
        this.#outliers.failed(candidate, error, isTimeout(err))
        if (error.code === ErrorCode.DestinationUnreachable && !candidate.local) {
          this.#deps.directory.unreachable(candidate.peer)
        }
        this.#log.debug('instance did not take the flow', {
          flowId: flow.id,
          destination: formatAddress(candidate.address),
          reason: error.reason,
          code: error.code
        })
        failed.push({ candidate, error })
      }
    }
    const considered = allowed()
    const last = failed.at(-1)?.candidate
    if (last !== undefined) this.#setDestination(flow, last)
    throw new Attempts(considered, failed, id => this.#deps.local.problemOf?.(id)).error()
  }

  /**
   * Instances that the policy of this host lets the source reach, in the order in which to try them. `decided` is the one
   * that was evaluated last, whose rule the flow has; `allowed` returns all that the source may reach.
   */
  #order(
    flow: Flow,
    { destination, protocol, strategy, preferred }: OpenRequest
  ): {
    readonly order: readonly Candidate[]
    readonly decided: Candidate | undefined
    readonly allowed: () => Candidate[]
  } {
    requireFits(strategy, destination)
    const candidates = this.#deps.directory.candidates(destination, protocol)
    if (candidates.length === 0) {
      throw new WarrenError(
        ErrorCode.DestinationNotFound,
        `nothing that serves ${protocol} matches ${destination.text}`
      )
    }
    let denial: unknown
    let decided: Candidate | undefined
    const isAllowed = (candidate: Candidate): boolean => {
      this.#setDestination(flow, candidate)
      decided = candidate
      try {
        this.#admission.authorize(flow)
        return true
      } catch (err) {
        denial ??= err
        return false
      }
    }
    const { zone } = this.#deps
    const activeTo = (id: string): number => this.#flows.activeTo(id)
    const order = tryOrder({ candidates, strategy, source: flow.source, zone, activeTo, isAllowed })
    const allowed = (): Candidate[] => candidates.filter(isAllowed)
    if (order.length === 0 && allowed().length === 0) throw denial
    const first = order.find(one => one.registrationId === preferred)
    const preferring = first === undefined || order.length < 2 ? order : [first, ...order.filter(one => one !== first)]
    return { order: this.#outliers.last(preferring), decided, allowed }
  }

  #setDestination(flow: Flow, candidate: Candidate): void {
    flow.destination = candidate
    flow.direction = candidate.local ? 'local' : 'outbound'
    flow.carrier = candidate.local ? SAME_HOST : EXPECTED_CARRIER
  }
}

function translate(err: unknown, candidate: Candidate): WarrenError {
  if (isTimeout(err)) {
    return new WarrenError(
      ErrorCode.DestinationUnreachable,
      `${formatAddress(candidate.address)} did not answer in time`
    )
  }
  if (err instanceof WarrenError && err.code !== ErrorCode.Internal) return err
  return new WarrenError(ErrorCode.DestinationUnreachable, `the agent of ${candidate.machine} does not answer`, {
    cause: err
  })
}

function isTimeout(err: unknown): boolean {
  return err instanceof DOMException && err.name === 'TimeoutError'
}
