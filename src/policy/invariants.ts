import { ErrorCode, WarrenError } from '../core/index.ts'
import { formatAddress, matches } from '../identity/index.ts'
import type { Invariant } from './invariant.ts'
import { crossingBox, type Example, exampleOf, insideBox, type RuleBox, spacesOf } from './reach.ts'
import { isInForce, type Rule } from './rule.ts'
import { type Budget, BudgetSpent, intersection } from './space/index.ts'

/** An invariant that does not hold, with a connection that shows it. */
export interface Breach {
  readonly invariant: Invariant
  /** Undefined if it could not be decided. */
  readonly example: Example | undefined
  /** The rule that allows the example; undefined if only a whitelist may. */
  readonly rule: Rule | undefined
}

/** Comparisons of boxes for all invariants of a policy together: a bound on the time that a change takes on every host. */
const MAX_COMPARISONS = 2_500_000

/**
 * The invariants that the rules break at any time from `nowMs` on, each with one example.
 *
 * Exact for every policy that is decided at all: an invariant holds if and only if `evaluate` denies each of its connections,
 * whatever the whitelist of the destination and without the revocations. One that takes too many steps is a breach without an
 * example: what cannot be decided is refused.
 */
export function breaches(rules: readonly Rule[], invariants: readonly Invariant[], nowMs: number): Breach[] {
  if (invariants.length === 0) return []
  const { crossing, inside } = spacesOf(rules, nowMs)
  const always = { fromMs: nowMs, untilMs: Number.POSITIVE_INFINITY }
  const budget: Budget = { left: MAX_COMPARISONS }
  const found: Breach[] = []

  const insideExample = (invariant: Invariant): Example | undefined => {
    const box = insideBox(invariant, always)
    // Within a scope a destination may admit anybody by its whitelist: only a denial keeps it from that.
    const open = box === undefined ? undefined : inside.denying.uncovered(box, budget)
    return open === undefined ? undefined : exampleOf(open, true)
  }
  const crossingExample = (invariant: Invariant): Example | undefined => {
    const box: RuleBox = crossingBox(invariant, always)
    if (crossing.denying.hasCovering(box, budget)) return undefined
    for (const allowed of crossing.allowing.meeting(box, budget)) {
      const both = intersection(allowed, box)
      const open = both === undefined ? undefined : crossing.denying.uncovered(both, budget)
      if (open !== undefined) return exampleOf(open, false)
    }
    return undefined
  }
  for (const invariant of invariants) {
    try {
      const example = crossingExample(invariant) ?? insideExample(invariant)
      if (example !== undefined) found.push({ invariant, example, rule: ruleFor(rules, example) })
    } catch (err) {
      if (!(err instanceof BudgetSpent)) throw err
      found.push({ invariant, example: undefined, rule: undefined })
    }
  }
  return found
}

/** One clause that names the invariant and the example. */
export function breachText({ invariant, example, rule }: Breach): string {
  const { source, destination, reason } = invariant
  const never = `never ${source.text} -> ${destination.text}${reason === '' ? '' : ` (${reason})`}`
  if (example === undefined) return `it cannot be decided in time whether ${never} holds`
  const pair = `${formatAddress(example.source)} -> ${formatAddress(example.destination)} (${example.protocol})`
  const by = rule === undefined ? 'a whitelist of the destination could allow' : `${ruleText(rule)} allows`
  return `${never} does not hold: ${by} ${pair}`
}

/** What to do about a breach. */
export function breachHint({ example, rule, invariant }: Breach): string {
  const deny = `deny ${invariant.source.text} -> ${invariant.destination.text}`
  if (example === undefined) return `Add one rule that settles it: ${deny}.`
  if (rule === undefined) return `Within a scope only a deny rule forbids what whitelists admit: ${deny}.`
  return `Narrow or remove the rule, or add: ${deny}.`
}

/** Throws INVARIANT_BROKEN with the first breach. */
export function requireInvariants(
  { rules, invariants }: { readonly rules: readonly Rule[]; readonly invariants: readonly Invariant[] },
  nowMs: number
): void {
  const [first, ...others] = breaches(rules, invariants, nowMs)
  if (first === undefined) return
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  throw new WarrenError(ErrorCode.InvariantBroken, `${breachText(first)}${more}`, { hint: breachHint(first) })
}

function ruleFor(rules: readonly Rule[], { source, destination, protocol, atMs }: Example): Rule | undefined {
  const isAcross = source.scope !== destination.scope
  return rules.find(
    rule =>
      rule.effect !== 'deny' &&
      isInForce(rule, atMs) &&
      (rule.protocols.length === 0 || rule.protocols.includes(protocol)) &&
      matches(rule.source, source) &&
      matches(rule.destination, destination) &&
      !(isAcross && (rule.source.matchers[0].any || rule.destination.matchers[0].any))
  )
}

function ruleText({ id, effect, source, destination }: Rule): string {
  return `rule ${id === '' ? '' : `${id}: `}${effect} ${source.text} -> ${destination.text}`
}
