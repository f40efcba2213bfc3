import type { TopicValidatorResult } from '@libp2p/gossipsub'

/** Reports that a message may be forwarded: its id, and the neighbour that it came from. */
export type ReportVerdict = (id: string, neighbour: string, verdict: TopicValidatorResult) => void

/**
 * The method of `pubsub` that takes the verdicts for its option `asyncValidation`. Its documentation names the method, but its
 * type leaves it out. Undefined if there is none.
 */
export function verdictsOf(pubsub: object): ReportVerdict | undefined {
  const report: unknown = Reflect.get(pubsub, 'reportMessageValidationResult')
  return typeof report === 'function' ? (...verdict) => void report.apply(pubsub, verdict) : undefined
}
