import { ErrorCode, type Protocol, WarrenError } from '../core/index.ts'
import { parsePattern } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import { checkIdAndReason, malformed } from './codec.ts'
import type { Rule } from './rule.ts'
import { limitFields, limitsOf } from './usage-limits.ts'

/** Throws MESSAGE_MALFORMED. */
export function decodeRule(rule: policyPb.Rule): Rule {
  checkIdAndReason('rule', rule)
  if (rule.effect !== policyPb.Effect.ALLOW && rule.effect !== policyPb.Effect.DENY) {
    // A rule with an effect that this version does not know might be a denial.
    throw malformed(`rule ${rule.id} has an unknown effect`)
  }
  try {
    return Object.freeze({
      id: rule.id,
      effect: rule.effect === policyPb.Effect.ALLOW ? 'allow' : 'deny',
      source: parsePattern(rule.source),
      destination: parsePattern(rule.destination),
      protocols: rule.protocols.map(decodeProtocol),
      notBeforeMs: Number(rule.notBeforeMs),
      untilMs: Number(rule.untilMs),
      reason: rule.reason,
      createdAtMs: Number(rule.createdAtMs),
      ...limitsOf(rule)
    })
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, `rule ${rule.id} cannot be read`, { cause })
  }
}

export function encodeRule(rule: Rule): policyPb.Rule {
  return create(policyPb.RuleSchema, {
    id: rule.id,
    effect: rule.effect === 'allow' ? policyPb.Effect.ALLOW : policyPb.Effect.DENY,
    source: rule.source.text,
    destination: rule.destination.text,
    protocols: rule.protocols.map(protocol => (protocol === 'tcp' ? policyPb.Protocol.TCP : policyPb.Protocol.UDP)),
    notBeforeMs: BigInt(rule.notBeforeMs),
    untilMs: BigInt(rule.untilMs),
    reason: rule.reason,
    createdAtMs: BigInt(rule.createdAtMs),
    ...limitFields(rule)
  })
}

function decodeProtocol(protocol: policyPb.Protocol): Protocol {
  if (protocol === policyPb.Protocol.TCP) return 'tcp'
  if (protocol === policyPb.Protocol.UDP) return 'udp'
  throw malformed('a rule has an unknown protocol')
}
