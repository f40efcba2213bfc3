import type { Protocol } from '../core/index.ts'
import type { Pattern } from '../identity/index.ts'

export type RuleEffect = 'allow' | 'deny'

/** One line of policy: who may, or may not, talk to whom. */
export interface Rule {
  /** Unique in the bundle and never given to another rule. */
  readonly id: string
  readonly effect: RuleEffect
  readonly source: Pattern
  readonly destination: Pattern
  /** Empty: every protocol. */
  readonly protocols: readonly Protocol[]
  /** First instant at which the rule counts, wall milliseconds. Zero: always has. */
  readonly notBeforeMs: number
  /** First instant at which it no longer counts, wall milliseconds. Zero: always will. */
  readonly untilMs: number
  readonly reason: string
  readonly createdAtMs: number
}

/** Whether the rule's dates include `nowMs`. */
export function isInForce(rule: Rule, nowMs: number): boolean {
  return nowMs >= rule.notBeforeMs && (rule.untilMs === 0 || nowMs < rule.untilMs)
}

/** Whether two rules speak of the same pairs and protocols, whatever they say of them. */
export function coversSame(a: Pick<Rule, 'source' | 'destination' | 'protocols'>, b: typeof a): boolean {
  return (
    a.source.text === b.source.text &&
    a.destination.text === b.destination.text &&
    a.protocols.length === b.protocols.length &&
    a.protocols.every(protocol => b.protocols.includes(protocol))
  )
}
