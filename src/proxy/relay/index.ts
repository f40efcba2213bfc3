export { continueFlow, type LeftLeg } from './continue-flow.ts'
export {
  type CapsulesEnd,
  type ClientEnd,
  clientEnds,
  discardEnd,
  endsFrom,
  type FlowEnd,
  type FlowEnds,
  type LocalByteEnd,
  type LocalDatagramEnd,
  type LocalEnd,
  type RecordsEnd,
  type StreamEnd,
  type UdpEnd
} from './ends.ts'
export { joinFlow } from './join.ts'
export type { NewPath } from './resumable.ts'
export type { ResumableLeg } from './resumable-leg.ts'
export type { NearSide, Resuming } from './resuming.ts'
export type { SideName } from './side.ts'
