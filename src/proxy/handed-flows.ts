import type { Socket } from 'node:net'
import { descriptorOf, type Left, type Logger, raceAbort, within } from '../core/index.ts'
import { formatAddress } from '../identity/index.ts'
import { duplicator } from './fastpath/index.ts'
import type { Flow } from './flow/index.ts'
import type { NearSide, ResumableLeg, SideName } from './relay/index.ts'
import type { ContinuityState, ResumeLink } from './resume/index.ts'

/** The name under which flows are left to the next process. */
export const FLOWS = 'flows'

/** A flow that one process of the agent leaves to the next. */
export interface LeftFlow {
  readonly id: string
  readonly direction: 'inbound' | 'outbound'
  readonly source: string
  readonly sourceId?: string | undefined
  readonly sourceMachine: string
  readonly destination: string
  readonly destinationId: string
  readonly bytesIn: number
  readonly bytesOut: number
  readonly localIs: SideName
  readonly explicitEnd: boolean
  readonly state: ContinuityState
  readonly key: string
  /** Base64. */
  readonly secret: string
  /** The certificate that the other end has proved last, in base64, and its host. */
  readonly leafDer: string
  readonly machine: string
  /** What carried it last; undefined in what an older program has left. */
  readonly carrier?: string | undefined
}

interface Open {
  readonly flow: Flow
  readonly link: ResumeLink
  readonly near: NearSide
}

/** What waits for a workload that does not read cannot be left. */
const FLUSH_MS = 500
/** Below the time of an attempt of the other agent. */
const DECIDED_MS = 5_000

/** The flows of this process that the next one can continue, and those of the process before that do not continue yet. */
export class HandedFlows {
  readonly #log: Logger
  readonly #open = new Map<ResumableLeg, Open>()
  /** Keys of flows that this process has got, and not begun to continue. */
  readonly #expected = new Map<string, PromiseWithResolvers<void>>()
  #isLeaving = false

  constructor(log: Logger) {
    this.#log = log
  }

  began(flow: Flow, leg: ResumableLeg, link: ResumeLink, near: NearSide): void {
    this.#open.set(leg, { flow, link, near })
  }

  over(leg: ResumableLeg): void {
    this.#open.delete(leg)
  }

  expect(key: string): void {
    this.#expected.set(key, Promise.withResolvers<void>())
  }

  /** The flow continues, or never does. */
  settled(key: string): void {
    this.#expected.get(key)?.resolve()
    this.#expected.delete(key)
  }

  /** Resolves when it is decided whether the flow continues here, or after a while. An attempt that waits need not be repeated. */
  async decided(key: string): Promise<void> {
    const expected = this.#expected.get(key)
    if (expected !== undefined)
      await within(DECIDED_MS, [], limit => raceAbort(expected.promise, limit)).catch(() => {})
  }

  /** Whether the flow is on its way from one process to another: attempts to continue it must be repeated. */
  isUnderWay(key: string): boolean {
    return this.#isLeaving || this.#expected.has(key)
  }

  /** Whether the next process can continue the flow. */
  canLeave(flow: Flow): boolean {
    for (const open of this.#open.values()) if (open.flow === flow) return true
    return false
  }

  /** Takes the flows from their paths, for the next process. */
  async leave(): Promise<Left> {
    this.#isLeaving = true
    const all = [...this.#open]
    // Nothing arrives from the other agents any more; what they do not know to have arrived, they send again.
    for (const [leg] of all) leg.leave()
    const limit = AbortSignal.timeout(FLUSH_MS)
    const data: LeftFlow[] = []
    const descriptors: number[] = []
    const bytes: Buffer[] = []
    const leaveOne = async ([leg, { flow, link, near }]: [ResumableLeg, Open]): Promise<void> => {
      const fd = await near.leg.leave(stream => duplicator()?.(descriptorOf(stream as Socket)), limit)
      const { destination } = flow
      if (fd === undefined || destination === undefined || leg.isOver) {
        flow.cut({ kind: 'shutdown', text: 'the agent stops: its workload does not read what waits for it' })
        return
      }
      const { state, kept } = leg.state
      const { leafDer, machine } = link.peer()
      data.push({
        id: flow.id,
        direction: flow.direction === 'inbound' ? 'inbound' : 'outbound',
        source: formatAddress(flow.source),
        sourceId: flow.sourceId,
        sourceMachine: flow.sourceMachine,
        destination: formatAddress(destination.address),
        destinationId: destination.registrationId,
        bytesIn: flow.bytesIn,
        bytesOut: flow.bytesOut,
        localIs: near.localIs,
        explicitEnd: near.explicitEnd,
        state,
        key: link.key,
        secret: link.secret.toString('base64'),
        leafDer: Buffer.from(leafDer).toString('base64'),
        machine,
        carrier: flow.carrier
      })
      descriptors.push(fd)
      bytes.push(kept)
      flow.cut({ kind: 'link', text: 'the program of the agent is replaced, and continues it' })
    }
    await Promise.all(
      all.map(one =>
        leaveOne(one).catch((err: unknown) => {
          this.#log.error('flow not left to the next process, by a defect', { err })
          one[1].flow.cut({ kind: 'shutdown', text: 'the agent stops' })
        })
      )
    )
    return { data, descriptors, bytes }
  }
}
