import type { Protocol } from '../core/index.ts'
import {
  type Address,
  matches,
  namesScope,
  type Pattern,
  revocationOfAddress,
  revocationText
} from '../identity/index.ts'
import type { Bundle } from './bundle.ts'
import { isInForce, type Rule } from './rule.ts'
import { isLimited, type UsageLimits } from './usage-limits.ts'

/** A question to the policy. All of it comes from verified identities and the registry, never from a caller's claim. */
export interface Question {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  /** The sources that the destination itself admits in its own scope. */
  readonly whitelist: readonly Pattern[]
}

/** The clause of the policy that decided. */
export type Ground = 'REVOKED' | 'RULE' | 'SCOPE' | 'WHITELIST' | 'AUDIT' | 'DEFAULT' | 'LEASE' | 'ERROR'

/** The answer, as a value that is logged and printed as it is. */
export interface Decision {
  readonly allowed: boolean
  readonly ground: Ground
  /** The rule or revocation that decided; empty if there was none. */
  readonly rule: string
  readonly policyVersion: bigint
  /** One clause for people. */
  readonly text: string
  /** The rules with limits among those that allow it: all of their limits hold. @default none */
  readonly limits?: readonly RuleLimits[]
}

/** The limits of one rule. */
export interface RuleLimits extends UsageLimits {
  readonly rule: string
}

/** The part of a version that decides. */
export type Decisive = Pick<Bundle, 'version' | 'rules' | 'revocations'>

/**
 * Decides one question; the same question, bundle and time always give the same answer.
 *
 * A revocation of either address beats everything, and a deny rule beats everything else. Across scopes only an allow rule that
 * names both scopes literally permits; within a scope an allow rule or the destination's whitelist does. An audit rule, which
 * crosses scopes like an allow rule, permits what would otherwise be denied by no rule. Everything else is denied, also without a
 * bundle.
 */
export function evaluate(bundle: Decisive | undefined, question: Question, nowMs: number): Decision {
  const { source, destination } = question
  const policyVersion = bundle?.version ?? 0n

  for (const address of [source, destination]) {
    const revocation = revocationOfAddress(bundle?.revocations ?? [], address)
    if (revocation === undefined) continue
    const text = revocationText(address, revocation)
    return { allowed: false, ground: 'REVOKED', rule: revocation.id, policyVersion, text }
  }

  const applying = (bundle?.rules ?? []).filter(rule => applies(rule, question, nowMs))

  const denying = applying.find(rule => rule.effect === 'deny')
  if (denying !== undefined) return byRule(false, denying, policyVersion)

  const crossing = source.scope !== destination.scope
  const permitting = applying.filter(
    rule => !crossing || (namesScope(rule.source, source.scope) && namesScope(rule.destination, destination.scope))
  )
  const allowing = permitting.filter(({ effect }) => effect === 'allow')
  const [first] = allowing
  if (first !== undefined) return { ...byRule(true, first, policyVersion), ...limitsAmong(allowing) }

  const refusal = withoutRule(crossing, question, policyVersion)
  const auditing = refusal.allowed ? undefined : permitting.find(({ effect }) => effect === 'audit')
  if (auditing === undefined) return refusal
  const text = `${byRule(true, auditing, policyVersion).text} lets it pass; without it: ${refusal.text}`
  return { allowed: true, ground: 'AUDIT', rule: auditing.id, policyVersion, text }
}

/** The decision where no allow rule applies, and no audit rule counts. */
function withoutRule(crossing: boolean, { source, destination, whitelist }: Question, policyVersion: bigint): Decision {
  if (crossing) {
    const text = `scopes differ (${source.scope}, ${destination.scope}) and no allow rule names both`
    return { allowed: false, ground: 'SCOPE', rule: '', policyVersion, text }
  }
  const listed = whitelist.find(pattern => matches(pattern, source))
  if (listed !== undefined) {
    const text = `the destination's whitelist names ${listed.text}`
    return { allowed: true, ground: 'WHITELIST', rule: '', policyVersion, text }
  }
  return {
    allowed: false,
    ground: 'DEFAULT',
    rule: '',
    policyVersion,
    text: 'no rule and no whitelist entry allows it'
  }
}

/** The denial for a question that could not be evaluated: errors deny. */
export function denyOnError(text: string, policyVersion: bigint): Decision {
  return { allowed: false, ground: 'ERROR', rule: '', policyVersion, text }
}

/** The denial of everything by a host that serves nothing for the time being. */
export function denyWithheld(text: string, policyVersion: bigint): Decision {
  return { allowed: false, ground: 'LEASE', rule: '', policyVersion, text }
}

function applies(rule: Rule, question: Question, nowMs: number): boolean {
  return (
    isInForce(rule, nowMs) &&
    (rule.protocols.length === 0 || rule.protocols.includes(question.protocol)) &&
    matches(rule.source, question.source) &&
    matches(rule.destination, question.destination)
  )
}

function limitsAmong(rules: readonly Rule[]): Pick<Decision, 'limits'> {
  const limited = rules.filter(isLimited)
  if (limited.length === 0) return {}
  return { limits: limited.map(({ id, maxConnects, maxRateBytes }) => ({ rule: id, maxConnects, maxRateBytes })) }
}

function byRule(allowed: boolean, rule: Rule, policyVersion: bigint): Decision {
  const because = rule.reason === '' ? '' : ` (${rule.reason})`
  const text = `rule ${rule.id}: ${rule.effect} ${rule.source.text} ${rule.destination.text}${because}`
  return { allowed, ground: 'RULE', rule: rule.id, policyVersion, text }
}
