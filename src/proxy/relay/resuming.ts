import type { CutKind, Flow } from '../flow/index.ts'
import type { DuplexLeg } from '../legs/index.ts'
import type { KeptAccount, ResumeLink } from '../resume/index.ts'
import type { ResumableLeg } from './resumable-leg.ts'
import type { SideName } from './side.ts'

/** The side of the workload. */
export interface NearSide {
  readonly localIs: SideName
  readonly leg: DuplexLeg
  readonly explicitEnd: boolean
}

/** Looks after the resumable flows of this agent, in one role. */
export interface Resuming {
  /** For so long a flow waits. */
  readonly windowMs: number
  readonly accountOf: (flow: Flow) => KeptAccount
  /** A flow that can be resumed is open. */
  readonly began: (flow: Flow, leg: ResumableLeg, link: ResumeLink, near: NearSide) => void
  /** The path is lost: the flow waits for another. */
  readonly waits: (flow: Flow, leg: ResumableLeg) => void
  /** It continues. */
  readonly resumed: (flow: Flow, leg: ResumableLeg, carrier: string) => void
  /** It has ended: `kind` says why, undefined if in order. */
  readonly over: (flow: Flow, leg: ResumableLeg, kind: CutKind | undefined) => void
}
