import type { RateLimitedLog } from '../../core/index.ts'
import type { PacketPort } from '../datagram/packet/index.ts'
import type { ProxyDeps } from '../deps.ts'
import type { FastPathBudget } from '../fastpath/index.ts'
import type { FlowTable } from '../flow/index.ts'
import type { Liveness } from '../session/index.ts'
import type { Admission } from './admission.ts'
import type { InboundMeetings } from './inbound-meetings.ts'
import type { ResumableFlows } from './resumable-flows.ts'

/** What the sessions that other agents open share. */
export interface InboundContext {
  readonly deps: ProxyDeps
  readonly flows: FlowTable
  readonly admission: Admission
  readonly liveness: Liveness
  readonly maxStreams: number
  readonly packets: PacketPort
  readonly meetings: InboundMeetings
  readonly fastPath: FastPathBudget
  /** Log for failed proofs of others. */
  readonly warnings: RateLimitedLog
  readonly stopping: AbortSignal
  /** Undefined if this agent resumes no flows. */
  readonly resumable: ResumableFlows | undefined
}
