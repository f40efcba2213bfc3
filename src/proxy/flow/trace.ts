import type { ErrorCode } from '../../core/index.ts'
import type { EventFields } from '../../events/index.ts'
import type { Direction } from './flow.ts'

/** The steps in which a flow is opened: three at the agent of the source, three at that of the destination. */
export type FlowStep =
  | 'choose instance'
  | 'get session'
  | 'ask agent'
  | 'check source'
  | 'wait for turn'
  | 'connect target'

/** Follows one flow until it is open or refused. */
export interface FlowTrace {
  /** A step begins, and the one before ends. `machine`: the other host. */
  step(name: FlowStep, machine?: string): void
  /** The flow is open, or has failed. */
  ended(fields: EventFields['flow-opened'], failure?: { readonly code: ErrorCode; readonly reason: string }): void
}

export interface FlowTracer {
  begin(flowId: string, direction: Direction): FlowTrace
}
