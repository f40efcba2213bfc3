import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { AdminKey } from '../admin.ts'
import { breaches, breachHint, breachText } from '../invariants.ts'
import { type InForce, originKey } from './in-force.ts'

/**
 * Throws INVARIANT_BROKEN if what one admin allows breaks an invariant of any admin.
 *
 * Only whoever signs asks this, to learn it at once: on all hosts an invariant denies what the rules of others allow.
 */
export function requireKept({ bundle, origins }: InForce, key: AdminKey, nowMs: number): void {
  if (bundle === undefined) return
  const rules = bundle.rules.filter(
    rule =>
      rule.ofInvariant !== true && (rule.effect === 'deny' || origins.get(originKey('rules', rule.id))?.author === key)
  )
  const [first] = breaches(rules, bundle.invariants, nowMs).filter(
    ({ rule, example }) => rule !== undefined || example === undefined
  )
  if (first === undefined) return
  throw new WarrenError(ErrorCode.InvariantBroken, breachText(first), { hint: breachHint(first) })
}
