import { type LabelsOf, labelValue, METRICS, OTHER } from '../core/index.ts'
import type { GossipVerdict } from '../registry/index.ts'

type Outcome = LabelsOf<'warren_registry_gossip_total'>['outcome']

/** Verdicts with one of a few reasons; any other reason is a text about a message that could not be used. */
const OUTCOMES: ReadonlySet<string> = new Set(METRICS.warren_registry_gossip_total.labels.outcome)

/** The label of a message of registry gossip. */
export function outcomeOf(verdict: GossipVerdict, reason: string): Outcome {
  const outcome = labelValue(reason)
  if (OUTCOMES.has(outcome)) return outcome as Outcome
  return verdict === 'reject' ? 'malformed' : OTHER
}
