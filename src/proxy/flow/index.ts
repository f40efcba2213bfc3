export { countCuts } from './count-cuts.ts'
export { type Cut, type CutKind, codeOf, cutOf, isDone, LINK_LOST } from './cut.ts'
export type { DropReason, Sent } from './drops.ts'
export { fieldsOf } from './fields.ts'
export { FirstBytes, type FirstBytesSource } from './first-bytes.ts'
export { DIRECT, FAST_PATH, type Flow, type FlowAlarm, type FlowInfo, SAME_HOST, WAITING } from './flow.ts'
export { flowIdFrom, newFlowId } from './flow-id.ts'
export type { Keeper, Place, Reopen } from './keeper.ts'
export {
  type ByteLeg,
  type JoiningLeg,
  type LegEvents,
  MAX_WAITING_BYTES,
  MAX_WAITING_WRITES,
  SMALL_BYTES
} from './leg.ts'
export type { ConnectionEnd } from './past-flows.ts'
export { AMPLE, type FlowRoom, type Room } from './room.ts'
export { FlowTable } from './table.ts'
export type { FlowTotals } from './totals.ts'
export type { FlowStep, FlowTrace, FlowTracer } from './trace.ts'
