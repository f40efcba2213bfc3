import { Socket } from 'node:net'
import { detach, type Left, raceAbort, sleep, WarrenError, within } from '../core/index.ts'
import { parseAddress } from '../identity/index.ts'
import type { ProxyDeps } from './deps.ts'
import { DIRECT, FAST_PATH, type FlowTable, WAITING } from './flow/index.ts'
import { FLOWS, type HandedFlows, type LeftFlow } from './handed-flows.ts'
import type { Admission } from './inbound/index.ts'
import { resetSocket } from './legs/index.ts'
import { continueFlow, type Resuming } from './relay/index.ts'

/** How often it is looked whether the other host is known. */
const LOOK_MS = 20
/**
 * How long a flow waits for a member besides its other host. If none answers, this agent is as one that has lost its mesh: it acts on
 * what it knows.
 */
const UNHEARD_MS = 1_000

export interface AdoptedFlowsOptions {
  readonly deps: ProxyDeps
  readonly flows: FlowTable
  readonly admission: Admission
  readonly handed: HandedFlows
  /** Undefined if this agent resumes no flows: those of the process before are reset. */
  readonly resuming: { readonly inbound: Resuming; readonly outbound: Resuming } | undefined
  readonly stopping: AbortSignal
}

interface Waiting {
  readonly left: LeftFlow
  readonly fd: number
  readonly kept: Buffer
  /** It has a path, or is over. */
  readonly carried: () => void
}

/**
 * The flows of the process before. Each waits until its other host is a member and its ends are registered, as this process has
 * verified, and until another member has said which policy is in force. Then it is decided as a new one; until then no byte of it is
 * read or sent.
 */
export class AdoptedFlows {
  readonly #options: AdoptedFlowsOptions
  readonly #waiting: Waiting[] = []
  #pause: Promise<void> | undefined
  #carried: Promise<unknown> = Promise.resolve()

  constructor(options: AdoptedFlowsOptions) {
    this.#options = options
  }

  /** Takes what was left. To be called before other agents can ask for it. */
  take(left: Left | undefined): void {
    const { handed } = this.#options
    const all: Array<Promise<void>> = []
    const {
      data = [],
      descriptors = [],
      bytes = []
    } = (left ?? {}) as {
      data?: readonly LeftFlow[]
      descriptors?: readonly number[]
      bytes?: readonly Buffer[]
    }
    for (const [at, one] of data.entries()) {
      const [fd, kept] = [descriptors[at], bytes[at]]
      if (fd === undefined || fd < 0 || kept === undefined) continue
      handed.expect(one.key)
      const { promise, resolve } = Promise.withResolvers<void>()
      all.push(promise)
      this.#waiting.push({ left: one, fd, kept, carried: resolve })
    }
    this.#carried = Promise.all(all)
  }

  /**
   * Whether all that was left can continue without the mesh: by what is known already, nobody else needs to be heard, and the data
   * ports are enough to carry it. False if nothing was left.
   */
  get canContinueAlone(): boolean {
    if (this.#waiting.length === 0) return false
    return this.#waiting.every(({ left }) => {
      const isDirect = left.carrier === DIRECT || left.carrier === FAST_PATH
      return isDirect && this.#isKnown(left) && this.#hasHeard(left)
    })
  }

  /** Continues them as their other hosts become known. Returns their number. Their registrations are those of now. */
  begin(): number {
    const { deps, stopping } = this.#options
    const count = this.#waiting.length
    for (const waiting of this.#waiting.splice(0)) {
      detach(deps.log, 'flow of the process before', this.#follow(waiting), stopping)
    }
    return count
  }

  /** Resolves when each of them has a path or is over, and after `limitMs` at the latest. Never rejects. */
  async carried(limitMs: number): Promise<void> {
    await within(limitMs, [this.#options.stopping], limit => raceAbort(this.#carried, limit)).catch(() => {})
  }

  async #follow(waiting: Waiting): Promise<void> {
    const { deps, resuming, stopping } = this.#options
    const { left } = waiting
    const { sourceId, destinationId } = left
    const own = left.direction === 'inbound' ? destinationId : (sourceId ?? '')
    const release = resuming === undefined ? undefined : deps.local.hold?.(own)
    const nowMs = deps.clock.monotonicMs()
    const [untilMs, heardByMs] = [nowMs + (deps.resumeWindowMs ?? 0), nowMs + UNHEARD_MS]
    try {
      for (;;) {
        if (release === undefined) return this.#giveUp(waiting, 'its registration has ended')
        if (stopping.aborted) return this.#giveUp(waiting, 'the agent stops')
        if (this.#isKnown(left) && this.#isInformed(left, heardByMs)) return await this.#continue(waiting)
        if (deps.clock.monotonicMs() > untilMs)
          return this.#giveUp(waiting, 'the other end is not known to be registered')
        await this.#look()
      }
    } finally {
      waiting.carried()
      release?.()
    }
  }

  // One pause for all: each timer of thousands of flows would walk the listeners of all others.
  #look(): Promise<void> {
    this.#pause ??= sleep(LOOK_MS, this.#options.stopping)
      .catch(() => {})
      .finally(() => {
        this.#pause = undefined
      })
    return this.#pause
  }

  #isKnown({ direction, source, sourceMachine, destinationId, machine }: LeftFlow): boolean {
    const { directory } = this.#options.deps
    if (directory.peerOf(machine) === undefined) return false
    return direction === 'inbound'
      ? directory.sourceAt(parseAddress(source), sourceMachine)
      : directory.byId(destinationId) !== undefined
  }

  // Its other host may have been evicted since the process before ended, and would not say so.
  #isInformed(left: LeftFlow, byMs: number): boolean {
    return this.#hasHeard(left) || this.#options.deps.clock.monotonicMs() >= byMs
  }

  #hasHeard({ machine }: LeftFlow): boolean {
    return this.#options.deps.directory.hasHeardBeside?.(machine) !== false
  }

  async #continue(waiting: Waiting): Promise<void> {
    const { deps, flows, admission, handed, resuming } = this.#options
    const { left, fd, kept, carried } = waiting
    if (resuming === undefined) return
    const { id, direction, sourceId, sourceMachine, localIs, explicitEnd, state, key, machine } = left
    let flow: ReturnType<FlowTable['enter']>
    try {
      flow = flows.enter({
        id,
        direction,
        source: parseAddress(left.source),
        sourceId,
        sourceMachine,
        protocol: 'tcp',
        carrier: WAITING
      })
    } catch (err) {
      return this.#giveUp(waiting, WarrenError.from(err).reason)
    }
    const address = parseAddress(left.destination)
    flow.destination = { registrationId: left.destinationId, address }
    try {
      const leafDer = Buffer.from(left.leafDer, 'base64')
      const verdict = deps.verifier.workload(leafDer)
      if (!verdict.ok) throw new Error(`the other end is no longer trusted: ${verdict.detail}`)
      admission.authorize(flow)
      flows.charge(flow, [direction === 'inbound' ? left.destinationId : sourceId])
      flow.bytesIn = left.bytesIn
      flow.bytesOut = left.bytesOut
      flows.opened(flow)
      // From here on the former program must not continue it at the offsets of before.
      deps.handover?.spend(FLOWS)
      const link = { key, secret: Buffer.from(left.secret, 'base64'), peer: () => ({ leafDer, machine }) }
      const over = continueFlow(
        flow,
        { localIs, explicitEnd, fd, state, kept, link },
        noting(resuming[direction], carried)
      )
      handed.settled(key)
      flows.finish(flow, await over)
    } catch (err) {
      const { reason, code } = WarrenError.from(err)
      flows.end(flow, reason, code)
      this.#giveUp(waiting, reason)
    }
  }

  #giveUp({ left, fd }: Waiting, reason: string): void {
    const { deps, handed } = this.#options
    handed.settled(left.key)
    deps.log.warn('flow of the process before is reset', { flowId: left.id, reason })
    resetSocket(new Socket({ fd }))
  }
}

/** Calls `carried` with each path of the flow, too. */
function noting(resuming: Resuming, carried: () => void): Resuming {
  const { windowMs, accountOf, began, waits, over } = resuming
  const resumed: Resuming['resumed'] = (flow, leg, carrier) => {
    resuming.resumed(flow, leg, carrier)
    carried()
  }
  return { windowMs, accountOf, began, waits, resumed, over }
}
