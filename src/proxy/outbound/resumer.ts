import { ErrorCode, type Logger, raceAbort, ShortSignal, WarrenError, within } from '../../core/index.ts'
import { spiffeIdOf } from '../../identity/index.ts'
import type { Candidate, ProxyDeps } from '../deps.ts'
import type { CutKind, Flow } from '../flow/index.ts'
import type { HandedFlows } from '../handed-flows.ts'
import type { Admission } from '../inbound/index.ts'
import type { Interruptions } from '../interruptions.ts'
import { abortStream } from '../legs/index.ts'
import type { NearSide, ResumableLeg, Resuming } from '../relay/index.ts'
import { Discontinuity, proofOf, type ResumeLink } from '../resume/index.ts'
import { FlowOver, type SessionPool } from '../session/index.ts'
import { RESUME_PAUSE_MAX_MS, RESUME_PAUSE_MS, RESUME_TIMEOUT_MS } from '../timing.ts'

/** After these another attempt may work: the other agent was not reached, or has no room now. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.DestinationUnreachable,
  ErrorCode.LimitExceeded,
  ErrorCode.NotReady,
  ErrorCode.Timeout
])

export interface ResumerOptions {
  readonly deps: ProxyDeps
  readonly pool: SessionPool
  readonly admission: Admission
  readonly interruptions: Interruptions
  readonly handed: HandedFlows
  readonly stopping: AbortSignal
}

/** Finds another path for flows that this agent opened, and that have lost theirs. */
export class Resumer implements Resuming {
  readonly #options: ResumerOptions
  readonly #log: Logger
  readonly #links = new WeakMap<ResumableLeg, ResumeLink>()
  /** Flows between two attempts. */
  readonly #resting = new Map<Flow, () => void>()

  constructor(options: ResumerOptions) {
    this.#options = options
    this.#log = options.deps.log
  }

  get windowMs(): number {
    return this.#options.interruptions.windowMs
  }

  readonly accountOf = (flow: Flow) => this.#options.interruptions.accountOf(flow)

  readonly began = (flow: Flow, leg: ResumableLeg, link: ResumeLink, near: NearSide): void => {
    this.#links.set(leg, link)
    this.#options.handed.began(flow, leg, link, near)
  }

  readonly waits = (flow: Flow, leg: ResumableLeg): void => {
    this.#options.interruptions.waits(flow, leg)
    this.#search(flow, leg).catch((err: unknown) => {
      this.#log.error('flow failed by a defect', { err })
      leg.giveUp({ kind: 'link', text: 'the flow cannot continue' })
    })
  }

  readonly resumed = (flow: Flow, _leg: ResumableLeg, carrier: string): void =>
    this.#options.interruptions.resumed(flow, carrier)

  readonly over = (flow: Flow, leg: ResumableLeg, kind: CutKind | undefined): void => {
    this.#options.handed.over(leg)
    this.#options.interruptions.over(flow, kind)
  }

  async #search(flow: Flow, leg: ResumableLeg): Promise<void> {
    const { stopping } = this.#options
    for (let pauseMs = RESUME_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, RESUME_PAUSE_MAX_MS)) {
      try {
        await within(
          RESUME_TIMEOUT_MS,
          [stopping, flow.signal],
          limit => this.#attempt(flow, leg, limit),
          new ShortSignal()
        )
        return
      } catch (err) {
        if (!leg.isWaiting || stopping.aborted) return
        if (this.#isFinal(err, leg)) return
        const { reason } = WarrenError.from(err)
        this.#log.debug('no path yet for a flow that waits', { flowId: flow.id, reason })
      }
      await this.#rest(pauseMs, flow)
      if (!leg.isWaiting) return
    }
  }

  /** A host can be reached again, most likely: flows to it make their next attempt now. */
  pathAppeared(machine: string): void {
    for (const [flow, wake] of this.#resting) if (flow.destination?.address.machine === machine) wake()
  }

  async #rest(ms: number, flow: Flow): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#resting.set(flow, resolve)
    await raceAbort(promise, flow.signal).catch(() => {})
    clearTimeout(timer)
    this.#resting.delete(flow)
  }

  /** Ends the flow if no other attempt can work. */
  #isFinal(err: unknown, leg: ResumableLeg): boolean {
    if (err instanceof FlowOver) {
      if (err.cut === undefined) leg.endedThere()
      else leg.giveUp(err.cut)
      return true
    }
    if (err instanceof DOMException) return false
    const isRefusal = err instanceof Discontinuity || (err instanceof WarrenError && !PASSING.has(err.code))
    if (!isRefusal || WarrenError.is(err, ErrorCode.Internal)) return false
    leg.giveUp({ kind: 'link', text: `the link to the other agent was lost: ${err.message}` })
    return true
  }

  async #attempt(flow: Flow, leg: ResumableLeg, signal: AbortSignal): Promise<void> {
    const { deps, pool } = this.#options
    const { sourceId, id: flowId, room } = flow
    const link = this.#links.get(leg)
    const destination = this.#destinationOf(flow)
    if (sourceId === undefined || destination === undefined || link === undefined) {
      throw new WarrenError(ErrorCode.InvalidSource, 'one of its ends is not registered')
    }
    const session = await pool.acquire(sourceId, destination, signal, true).catch(unreached)
    // The wait was long enough for the policy to change.
    this.#decide(flow)
    const { key, secret } = link
    const source = spiffeIdOf(deps.trustDomain, flow.source)
    const name = { key, source, destination: spiffeIdOf(deps.trustDomain, destination.address) }
    const offer = leg.offer()
    const proof = proofOf(secret, name, offer)
    const { far, position } = await session.resume({ destination, flowId, room, key, offer, proof }, signal)
    const { link: next } = far
    try {
      if (next === undefined || signal.aborted) throw new Discontinuity('over')
      leg.granted({ attempt: offer.attempt, position }, { ...far, link: next, carrier: session.path.name })
    } catch (err) {
      // A clean end would be taken for that of the flow.
      abortStream(far.stream, 'link')
      throw err
    }
  }

  /** The instance with its present addresses; as it was, while its host is only silent. */
  #destinationOf({ destination }: Flow): Candidate | undefined {
    const { directory, silentHosts } = this.#options.deps
    if (destination === undefined) return undefined
    const known = directory.byId(destination.registrationId)
    if (known !== undefined) return known
    return isCandidate(destination) && silentHosts?.isSilent(destination.address.machine) === true
      ? destination
      : undefined
  }

  #decide(flow: Flow): void {
    const { admission, deps } = this.#options
    const { destination } = flow
    if (destination !== undefined && deps.directory.byId(destination.registrationId) === undefined) {
      // The agent of the destination decides with what it knows; here the last known counts.
      const question = {
        source: flow.source,
        destination: destination.address,
        destinationRegistrationId: destination.registrationId,
        protocol: flow.protocol
      }
      const decision = deps.silentHosts?.authorize(question)
      if (decision?.allowed === true) return
      flow.cut({ kind: 'policy', text: `no longer allowed: ${decision?.text ?? 'it is not registered'}` })
      throw flow.signal.reason
    }
    try {
      admission.authorize(flow)
    } catch (err) {
      flow.cut({ kind: 'policy', text: `no longer allowed: ${WarrenError.from(err).reason}` })
      throw flow.signal.reason
    }
  }
}

// Only the other agent refuses. Whatever fails on the way to it, as a relay that ends, may work with the next attempt.
function unreached(err: unknown): never {
  if (!(err instanceof WarrenError)) throw err
  throw new WarrenError(ErrorCode.DestinationUnreachable, err.reason, { cause: err })
}

function isCandidate(destination: NonNullable<Flow['destination']>): destination is Candidate {
  return 'peer' in destination && 'dataAddresses' in destination
}
