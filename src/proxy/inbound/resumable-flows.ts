import { ErrorCode, LruMap, WarrenError } from '../../core/index.ts'
import { formatAddress, spiffeIdOf } from '../../identity/index.ts'
import type { ProvenWorkload, ProxyDeps } from '../deps.ts'
import { type CutKind, codeOf, type Flow } from '../flow/index.ts'
import type { HandedFlows } from '../handed-flows.ts'
import type { Interruptions } from '../interruptions.ts'
import type { NearSide, NewPath, ResumableLeg, Resuming } from '../relay/index.ts'
import { Discontinuity, isProof, type ResumeLink } from '../resume/index.ts'
import { FlowOver, overHeaders, type ResumeAsked } from '../session/index.ts'
import type { Admission } from './admission.ts'

/** Flows that have ended, with how: their openers may not have learned of it. */
const MAX_PAST = 4_096

/** The other agent that asks, by what it has proved in its session. */
export interface ResumeRequester {
  readonly source: ProvenWorkload
  /** The first half of the registration id in the certificate that we showed. */
  readonly destinationPrefix: string
}

interface Known {
  readonly flow: Flow
  readonly leg: ResumableLeg
  readonly secret: Buffer
}

/** The flows that other agents opened and may resume. */
export class ResumableFlows implements Resuming {
  readonly #deps: ProxyDeps
  readonly #admission: Admission
  readonly #interruptions: Interruptions
  readonly #handed: HandedFlows
  readonly #flows = new Map<string, Known>()
  readonly #keys = new Map<ResumableLeg, string>()
  readonly #past = new LruMap<string, { readonly source: string; readonly kind: CutKind | undefined }>(MAX_PAST)

  constructor(deps: ProxyDeps, admission: Admission, interruptions: Interruptions, handed: HandedFlows) {
    this.#handed = handed
    this.#deps = deps
    this.#admission = admission
    this.#interruptions = interruptions
  }

  get windowMs(): number {
    return this.#interruptions.windowMs
  }

  readonly accountOf = (flow: Flow) => this.#interruptions.accountOf(flow)

  readonly began = (flow: Flow, leg: ResumableLeg, link: ResumeLink, near: NearSide): void => {
    const { key, secret } = link
    this.#handed.began(flow, leg, link, near)
    this.#flows.set(key, { flow, leg, secret })
    this.#keys.set(leg, key)
  }

  readonly waits = (flow: Flow, leg: ResumableLeg): void => this.#interruptions.waits(flow, leg)

  readonly resumed = (flow: Flow, _leg: ResumableLeg, carrier: string): void =>
    this.#interruptions.resumed(flow, carrier)

  readonly over = (flow: Flow, leg: ResumableLeg, kind: CutKind | undefined): void => {
    const key = this.#keys.get(leg)
    this.#keys.delete(leg)
    this.#handed.over(leg)
    if (key !== undefined) {
      this.#flows.delete(key)
      this.#past.set(key, { source: `${flow.sourceText} ${flow.sourceMachine}`, kind })
    }
    this.#interruptions.over(flow, kind)
  }

  /** Resolves when an attempt can be answered: the flow may be on its way from the process before. Never rejects. */
  ready(key: string): Promise<void> {
    return this.#handed.decided(key)
  }

  /**
   * Continues a flow on another path. `begin` is called with our position, before anything is sent on it. Throws
   * the error for the other agent, which is a FlowOver if the flow has ended.
   */
  resume(
    asked: ResumeAsked,
    by: ResumeRequester,
    pathOf: (flow: Flow) => NewPath,
    begin: (flow: Flow, position: number) => void
  ): void {
    if (this.#handed.isUnderWay(asked.key)) {
      throw new WarrenError(ErrorCode.NotReady, 'the program of the agent is being replaced')
    }
    const known = this.#flows.get(asked.key)
    if (known === undefined) throw this.#unknown(asked.key, by)
    const { flow, leg, secret } = known
    if (!this.#isOf(flow, asked, by, secret)) throw unknownFlow()
    if (flow.cutBy !== undefined) throw new FlowOver(flow.cutBy)
    this.#decide(flow, by)
    try {
      leg.accept(asked.offer, pathOf(flow), position => begin(flow, position))
    } catch (err) {
      if (!(err instanceof Discontinuity)) throw err
      // A repeated attempt is somebody else's, or one that was given up: the flow does not suffer for it.
      if (err.refusal !== 'used') flow.cut({ kind: 'link', text: `the flow cannot continue: ${err.message}` })
      throw new WarrenError(ErrorCode.FlowCut, `the flow cannot continue: ${err.message}`)
    }
  }

  #isOf(flow: Flow, { registrationId, key, offer, proof }: ResumeAsked, by: ResumeRequester, secret: Buffer): boolean {
    const { source, destinationPrefix } = by
    const { destination } = flow
    const { trustDomain } = this.#deps
    return (
      destination !== undefined &&
      destination.registrationId === registrationId &&
      registrationId.startsWith(destinationPrefix) &&
      destinationPrefix !== '' &&
      source.machine === flow.sourceMachine &&
      source.spiffeId === spiffeIdOf(trustDomain, flow.source) &&
      isProof(
        proof,
        secret,
        { key, source: source.spiffeId, destination: spiffeIdOf(trustDomain, destination.address) },
        offer
      )
    )
  }

  /** As for a new flow. Cuts it, and throws, if it is not allowed now. */
  #decide(flow: Flow, { source }: ResumeRequester): void {
    const { directory, local, silentHosts } = this.#deps
    const { destination } = flow
    const isKnown = directory.sourceAt(flow.source, source.machine) || silentHosts?.isSilent(source.machine) === true
    if (!isKnown || destination === undefined || !local.isAlive(destination.registrationId)) {
      flow.cut({ kind: 'registration', text: 'source or destination gone: it is no longer registered' })
      throw new FlowOver(flow.cutBy)
    }
    try {
      this.#admission.authorize(flow)
    } catch (err) {
      flow.cut({ kind: 'policy', text: `no longer allowed: ${WarrenError.from(err).reason}` })
      throw new FlowOver(flow.cutBy)
    }
  }

  #unknown(key: string, { source }: ResumeRequester): WarrenError {
    const past = this.#past.get(key)
    const name = `${formatAddress(source.address)} ${source.machine}`
    if (past === undefined || past.source !== name) return unknownFlow()
    return new FlowOver(past.kind === undefined ? undefined : { kind: past.kind, text: 'it was cut' })
  }
}

/** Headers of a refusal that says how the flow ended, if it has. */
export function overHeadersOf(err: unknown): Record<string, string> {
  return err instanceof FlowOver ? overHeaders(err.cut === undefined ? undefined : codeOf(err.cut.kind)) : {}
}

function unknownFlow(): WarrenError {
  return new WarrenError(
    ErrorCode.FlowCut,
    'no such flow can be resumed here: the agent was restarted, or the flow is over'
  )
}
