import type { CutKind } from '../flow/index.ts'
import type { KeptAccount, ResumeLink } from '../resume/index.ts'
import type { StreamEnd } from './ends.ts'
import type { ResumableLeg } from './resumable-leg.ts'

/** What happens to a resumable flow. */
export interface ResumableEvents {
  /** The path is lost: the flow waits for another. */
  readonly waits: (leg: ResumableLeg) => void
  /** It continues. */
  readonly resumed: (leg: ResumableLeg, carrier: string) => void
  /** The flow has ended: `kind` says why, undefined if in order. It never continues. Called once. */
  readonly over: (leg: ResumableLeg, kind: CutKind | undefined) => void
  /** It is on this stream now, for as long as the path of the leg is this one. */
  readonly onPath: (far: StreamEnd) => void
}

/** A stream on which a flow continues. */
export interface NewPath extends StreamEnd {
  readonly link: ResumeLink
  /** In words for people. */
  readonly carrier: string
}

export interface ResumableOptions {
  readonly link: ResumeLink
  readonly account: KeptAccount
  readonly windowMs: number
  readonly events: ResumableEvents
}
