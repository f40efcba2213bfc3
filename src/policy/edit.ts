import { ErrorCode, WarrenError } from '../core/index.ts'
import { type Bundle, MAX_REASON_LENGTH } from './bundle.ts'
import { coversSame, type Rule } from './rule.ts'

export type NewRule = Omit<Rule, 'id' | 'createdAtMs'>

/**
 * The rules after adding one, and the rule as added.
 *
 * The last word on the same pair counts: a rule for exactly the same patterns and protocols is replaced, whatever its
 * effect, so that `allow` after `deny` allows again. The id is taken from the version to come and so is never reused.
 */
export function addRule(current: Bundle | undefined, rule: NewRule, nowMs: number): { rules: Rule[]; added: Rule } {
  if (rule.reason.length > MAX_REASON_LENGTH) {
    throw new WarrenError(ErrorCode.InvalidArgument, `the reason is longer than ${MAX_REASON_LENGTH} characters`)
  }
  if (rule.untilMs !== 0 && rule.untilMs <= Math.max(nowMs, rule.notBeforeMs)) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'the rule would end before it begins', {
      hint: 'Give --until a time in the future.'
    })
  }
  const added: Rule = { ...rule, id: `r${(current?.version ?? 0n) + 1n}`, createdAtMs: nowMs }
  const kept = (current?.rules ?? []).filter(existing => !coversSame(existing, rule))
  return { rules: [...kept, added], added }
}

/** The rules without the one of this id. Throws NOT_FOUND. */
export function removeRule(current: Bundle | undefined, id: string): Rule[] {
  const rules = current?.rules ?? []
  const kept = rules.filter(rule => rule.id !== id)
  if (kept.length === rules.length) {
    throw new WarrenError(ErrorCode.NotFound, `the policy has no rule "${id.slice(0, 64)}"`, {
      hint: '`warren policy show` lists the rules.'
    })
  }
  return kept
}
