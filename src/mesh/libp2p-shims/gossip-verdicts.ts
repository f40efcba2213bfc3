import type { TopicValidatorResult } from '@libp2p/gossipsub'

/** Says that a message may be passed on: with its id, and the neighbour that it came from. */
export type ReportVerdict = (id: string, neighbour: string, verdict: TopicValidatorResult) => void

/**
 * How `pubsub` takes the verdicts that its option `asyncValidation` waits for. Its documentation names the method, and its
 * type leaves it out. Undefined if there is none.
 */
export function verdictsOf(pubsub: object): ReportVerdict | undefined {
  const report: unknown = Reflect.get(pubsub, 'reportMessageValidationResult')
  return typeof report === 'function' ? (...verdict) => void report.apply(pubsub, verdict) : undefined
}
