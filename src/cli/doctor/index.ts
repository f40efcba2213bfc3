import { agentChecks, figureChecks, memberChecks } from './agent-checks.ts'
import type { Facts } from './facts.ts'
import type { Finding } from './finding.ts'
import { hostChecks } from './host-checks.ts'
import { reachChecks } from './reach-check.ts'

export { writeBundle } from './bundle.ts'
export type { Facts } from './facts.ts'
export type { Finding, Verdict } from './finding.ts'
export { gather } from './gather.ts'

/** What the doctor says about the facts, in the order in which a person should read it. */
export function findingsOf(facts: Facts): Finding[] {
  return [
    ...agentChecks(facts),
    ...memberChecks(facts),
    ...reachChecks(facts),
    ...figureChecks(facts),
    ...hostChecks(facts)
  ]
}
