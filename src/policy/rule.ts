import type { Protocol } from '../core/index.ts'
import type { Pattern } from '../identity/index.ts'
import type { UsageLimits } from './usage-limits.ts'

/** `audit` allows what no other rule and no whitelist does, and has each flow that it lets pass recorded. */
export type RuleEffect = 'allow' | 'deny' | 'audit'

/**
 * One line of policy: a source that may, or may not, connect to a destination. Its limits are for all that it allows to one
 * registration.
 */
export interface Rule extends UsageLimits {
  /** Unique in the bundle and never given to another rule. */
  readonly id: string
  readonly effect: RuleEffect
  readonly source: Pattern
  readonly destination: Pattern
  /** Empty: every protocol. */
  readonly protocols: readonly Protocol[]
  /** First instant at which the rule applies, wall milliseconds. Zero: always has. */
  readonly notBeforeMs: number
  /** First instant at which it no longer applies, wall milliseconds. Zero: always will. */
  readonly untilMs: number
  readonly reason: string
  /** Who answers for it, for people. @default nobody is named */
  readonly owner?: string | undefined
  readonly createdAtMs: number
  /** Name of the admin whose set states it. @default the root of policy */
  readonly by?: string
  /** It stands for an invariant of one admin against the rules of all others. @default false */
  readonly ofInvariant?: true
}

/** Whether the rule's dates include `nowMs`. */
export function isInForce(rule: Rule, nowMs: number): boolean {
  return nowMs >= rule.notBeforeMs && (rule.untilMs === 0 || nowMs < rule.untilMs)
}

/** Whether two rules name the same pairs and protocols, whatever their effects. */
export function coversSame(a: Pick<Rule, 'source' | 'destination' | 'protocols'>, b: typeof a): boolean {
  return (
    a.source.text === b.source.text &&
    a.destination.text === b.destination.text &&
    a.protocols.length === b.protocols.length &&
    a.protocols.every(protocol => b.protocols.includes(protocol))
  )
}
