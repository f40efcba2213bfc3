import type { Protocol } from '../core/index.ts'
import { type Address, formatAddress, type Pattern, parsePattern, type Revocation } from '../identity/index.ts'
import { evaluate } from './evaluate.ts'
import type { Invariant } from './invariant.ts'
import { breaches, breachText } from './invariants.ts'
import type { Rule } from './rule.ts'
import { exactRules, type Pair, type SuggestedPair } from './suggest-merge.ts'

/** An attempt that the policy refused, or that only an audit rule let pass. */
export interface Attempt {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  readonly atMs: number
  readonly isAudited: boolean
}

/** The policy for which rules are suggested. */
export interface SuggestPolicy {
  readonly version: bigint
  readonly rules: readonly Rule[]
  readonly revocations: readonly Revocation[]
  readonly invariants: readonly Invariant[]
}

export interface SuggestOptions {
  /** Whether a rule names the machines of both ends. @default false: it is about all machines */
  readonly withMachines?: boolean
  readonly nowMs: number
}

/** An allow rule that the policy does not have. */
export interface Suggestion extends SuggestedPair {
  /** Refused attempts that it would have allowed. */
  readonly refused: number
  /** Attempts that only an audit rule let pass. */
  readonly audited: number
  readonly lastMs: number
}

/** Attempts for which a rule is no answer, with the reason as one clause. */
export interface Unanswered {
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly attempts: number
  readonly why: string
}

export interface Suggested {
  readonly suggestions: readonly Suggestion[]
  readonly unanswered: readonly Unanswered[]
  /** Attempts that the policy allows by now. */
  readonly allowed: number
  /** Attempts of further pairs, beyond MAX_PAIRS. */
  readonly leftOut: number
}

/** Pairs of names for which rules are sought: whoever is refused chooses how many there are. */
export const MAX_PAIRS = 10_000

interface Count extends Pair {
  readonly sample: Attempt
  refused: number
  audited: number
  lastMs: number
}

/**
 * The fewest allow rules that a greedy merge finds for what was attempted: together they allow those pairs of names and
 * protocols, and nothing else. What the policy allows by now is left out, and so is what no allow rule can change: a deny rule, a
 * revocation or an invariant forbids it.
 */
export function suggestRules(attempts: Iterable<Attempt>, policy: SuggestPolicy, options: SuggestOptions): Suggested {
  const { counts, leftOut } = countsOf(attempts, options.withMachines === true)
  const open: Count[] = []
  const unanswered: Unanswered[] = []
  let allowed = 0
  for (const count of counts.values()) {
    const why = whyNoRule(count.sample, policy, options.nowMs)
    if (why === undefined) open.push(count)
    else if (why === '') allowed += count.refused + count.audited
    else unanswered.push(unansweredBy(count, why))
  }
  const breaking = brokenBy(open, policy, options.nowMs)
  unanswered.push(...[...breaking].map(([count, why]) => unansweredBy(count, why)))
  const suggestions = exactRules(open.filter(count => !breaking.has(count))).map(
    ({ pairs, source, destination, protocols }) => ({
      source,
      destination,
      protocols,
      refused: pairs.reduce((sum, { refused }) => sum + refused, 0),
      audited: pairs.reduce((sum, { audited }) => sum + audited, 0),
      lastMs: pairs.reduce((last, { lastMs }) => Math.max(last, lastMs), 0)
    })
  )
  suggestions.sort((a, b) => b.refused + b.audited - (a.refused + a.audited) || (a.source < b.source ? -1 : 1))
  return { suggestions, unanswered, allowed, leftOut }
}

function countsOf(attempts: Iterable<Attempt>, withMachines: boolean) {
  const counts = new Map<string, Count>()
  let leftOut = 0
  for (const attempt of attempts) {
    const pair: Pair = {
      source: namesOf(attempt.source, withMachines),
      destination: namesOf(attempt.destination, withMachines),
      protocol: attempt.protocol
    }
    const key = `${pair.source.join('.')} ${pair.destination.join('.')} ${pair.protocol}`
    let count = counts.get(key)
    if (count === undefined) {
      if (counts.size >= MAX_PAIRS) {
        leftOut += 1
        continue
      }
      count = { ...pair, sample: attempt, refused: 0, audited: 0, lastMs: 0 }
      counts.set(key, count)
    }
    if (attempt.isAudited) count.audited += 1
    else count.refused += 1
    count.lastMs = Math.max(count.lastMs, attempt.atMs)
  }
  return { counts, leftOut }
}

function namesOf(address: Address, withMachine: boolean): readonly string[] {
  const names = formatAddress(address).split('.')
  return withMachine ? names : names.slice(0, -1)
}

/** Undefined: a rule is missing. Empty: it is allowed by now. */
function whyNoRule({ source, destination, protocol }: Attempt, policy: SuggestPolicy, nowMs: number) {
  // A whitelist is its own destination's matter, which refused: it names none of these sources.
  const { allowed, ground, text } = evaluate(policy, { source, destination, protocol, whitelist: [] }, nowMs)
  if (allowed) return ground === 'AUDIT' ? undefined : ''
  return ground === 'RULE' || ground === 'REVOKED' ? text : undefined
}

/** Those that would break an invariant, with its clause. */
function brokenBy(counts: readonly Count[], { rules, invariants }: SuggestPolicy, nowMs: number): Map<Count, string> {
  const denying = rules.filter(({ effect }) => effect === 'deny')
  // Within a scope an invariant is broken by the whitelists that may be, and no allow rule changes that.
  const isHeld = new Map(invariants.map(one => [one, breaches(denying, [one], nowMs).length === 0]))
  const broken = new Map<Count, string>()
  for (const count of counts) {
    if (count.source[0] === count.destination[0]) continue
    const isAbout = (one: Pick<Rule, 'source' | 'destination'>): boolean =>
      meets(one.source, count.source) && meets(one.destination, count.destination)
    // Of all rules and of the invariant only what is about this pair: else each pair would cost as much as the policy is large.
    const decisive = [...denying.filter(isAbout), ruleOf(count, nowMs)]
    for (const invariant of invariants.filter(one => isHeld.get(one) === true && isAbout(one))) {
      const [breach] = breaches(decisive, [narrowed(invariant, count)], nowMs)
      if (breach !== undefined) broken.set(count, breachText({ ...breach, invariant }))
    }
  }
  return broken
}

/** What an invariant says of a pair that it is about. */
function narrowed(invariant: Invariant, { source, destination }: Count): Invariant {
  const within = (pattern: Pattern, names: readonly string[]): Pattern =>
    parsePattern([...names, ...pattern.text.split('.').slice(names.length)].join('.'))
  return {
    ...invariant,
    source: within(invariant.source, source),
    destination: within(invariant.destination, destination)
  }
}

function meets({ matchers }: Pattern, names: readonly string[]): boolean {
  return names.every((name, at) => {
    const matcher = matchers[at]
    return matcher === undefined || matcher.any || matcher.names.includes(name)
  })
}

function ruleOf({ source, destination, protocol }: Count, nowMs: number): Rule {
  return {
    id: 'suggested',
    effect: 'allow',
    source: parsePattern(source.join('.')),
    destination: parsePattern(destination.join('.')),
    protocols: [protocol],
    notBeforeMs: 0,
    untilMs: 0,
    reason: '',
    createdAtMs: nowMs
  }
}

function unansweredBy({ source, destination, protocol, refused, audited }: Count, why: string): Unanswered {
  return {
    source: source.join('.'),
    destination: destination.join('.'),
    protocol,
    attempts: refused + audited,
    why
  }
}
